"""The server against h11: what one accepts or refuses, the other must too, but for a table of named differences."""
