"""Tests of what an operator does to a database."""
