"""Applications that the tests serve. Imported by workers by bare module name (`--app-dir`), never by the tests."""
