"""Numbers as they are kept and as they should be: totals, buckets, rollups. Used by `check` and `rebuild`."""
