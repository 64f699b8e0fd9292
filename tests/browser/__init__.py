"""Tests of the dashboard in a real browser, on a service of its own process with real data."""
