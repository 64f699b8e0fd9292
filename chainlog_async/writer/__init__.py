"""The one task that moves batches from the buffer into storage, retries them and reports its health.

Knows a storage engine only through `storage.base`. Imports `buffer`, `entry`, `settings`, `statistics` and `common`.
"""
