"""The chat of Django Channels' tutorial: rooms, synchronous and asynchronous, in one process's memory."""
