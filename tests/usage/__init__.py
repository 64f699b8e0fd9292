"""Tests of the values and plans of the reads."""
