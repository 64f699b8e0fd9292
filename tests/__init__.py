"""Tests, in a tree that mirrors the package; what several of them need is in `support`."""

import os

# Before anything chooses a copy of SQLite, also in processes that are started: tests open the files of their logs with
# Python's own, and two copies in one process must not open one file.
os.environ["CHAINLOG_SQLITE_MODULE"] = "sqlite3"
