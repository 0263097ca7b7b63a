"""The Autobahn test suite against the server: `make autobahn`. The suite itself is installed, not kept here."""
