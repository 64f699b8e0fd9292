"""Tests of each group of routes."""
