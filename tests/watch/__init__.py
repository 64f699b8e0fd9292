"""Tests of watched clients."""
