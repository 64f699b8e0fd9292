"""A waterfall gateway for OpenAI-compatible providers, with its log inside: ``python -m examples.gateway``."""
