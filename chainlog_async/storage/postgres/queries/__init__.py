"""The reads: SQL, and the values made of its results. Imports `reader_pool`, `usage` and `requests`."""
