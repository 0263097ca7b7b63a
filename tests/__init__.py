"""The tests of swhttp: real servers, real sockets, free ports, nothing left behind."""
