"""Long runs: what takes longer than a test may."""
