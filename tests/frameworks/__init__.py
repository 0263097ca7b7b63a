"""The sites of tests/apps in every framework, asked by real clients, directly and through nginx."""
