"""Waits at a test's gate (GATE_PATH) while it is imported, then is the reference app."""

import os

from reference import wait_at_gate, wsgi

__all__ = ["wsgi"]

wait_at_gate(os.environ["GATE_PATH"])
