"""Tests of the engine that ships to a `chainlog serve`."""
