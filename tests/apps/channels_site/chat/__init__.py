"""The application of the tutorial."""
