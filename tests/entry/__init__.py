"""Tests of what an entry is and the line it becomes."""
