"""Tests of what the writer does between batches."""
