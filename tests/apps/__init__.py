"""Applications that the tests serve; workers import them by bare module name, tests never do."""
