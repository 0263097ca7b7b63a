"""swhttp: an application server for Python web apps on Linux."""

__version__ = "0.1.0"
