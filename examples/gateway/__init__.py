"""A waterfall gateway over OpenAI-compatible providers, with its log and dashboard."""
