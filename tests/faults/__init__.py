"""Tests of what goes wrong around the log: one family of faults a file."""
