"""Tests of the reads and what they cost."""
