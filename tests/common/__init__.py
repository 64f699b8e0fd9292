"""Tests of the small things without an owner."""
