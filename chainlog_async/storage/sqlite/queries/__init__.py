"""The reads: SQL, and the values it becomes. Imports `reader_pool`, `usage` and `requests`."""
