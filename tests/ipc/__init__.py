"""Tests of the shared memory: layouts, rings of tiny sizes, and two processes racing over the same memory."""
