"""One module per scenario: an app, and a `SCENARIO` that says what it shows and who takes part."""
