"""HTTP/1.1 conformance: requests as bytes, and what must come of each."""
