"""Fuzz targets: functions of bytes that raise when something is wrong. docs/development.md says how they are run."""
