"""Stored numbers against computed ones: totals, buckets, rollups. Used by `check` and `rebuild`."""
