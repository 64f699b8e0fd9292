"""A waterfall gateway over OpenAI-compatible providers, with its log inside: ``python -m examples.gateway``."""
