"""Tests of the one task that moves batches into storage."""
