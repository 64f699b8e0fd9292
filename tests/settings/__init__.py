"""Tests of the settings and where they come from."""
