"""Spans of OpenTelemetry as requests: decoding, what is kept of a span, and which spans are one call."""
