"""Tests of what is accepted and not yet committed."""
