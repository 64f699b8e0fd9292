"""Tests of the storage seam and of each engine behind it."""
