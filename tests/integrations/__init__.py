"""Tests of the middleware and of the LiteLLM callback."""
