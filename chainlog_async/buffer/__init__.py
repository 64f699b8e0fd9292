"""Entries that are accepted and not yet committed: the queue, the backlog and the journal on disk.

Knows nothing of a storage engine. Imports `entry`, `settings`, `statistics` and `common`.
"""
