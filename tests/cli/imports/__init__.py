"""Tests of importing files of other programs."""
