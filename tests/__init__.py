"""Tests, in a tree that mirrors the package; what several of them need is in `support`."""
