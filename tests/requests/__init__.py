"""Tests of single requests as values and files."""
