"""Tests of the integrations, over real HTTP."""
