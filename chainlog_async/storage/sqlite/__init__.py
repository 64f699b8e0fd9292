"""The SQLite engine: connections, schema, batches, reads and maintenance.

Imports `storage.base` and what stands below it.
"""
