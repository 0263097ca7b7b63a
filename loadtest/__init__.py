"""The comparison harness: swhttp and its peers under wrk, in interleaved rounds.

Owns how servers are started, loaded, measured and ended, and the figures that come out. It must never change
what it measures: no server gets a setting here that is not written down in `peers.py`. See README.md.
"""
