"""What chainlog-async costs and how it holds up, beside what else could be done; `make bench` runs it."""

import os

# Before anything chooses a copy of SQLite, also in processes that are started: what is measured is read with Python's
# own, and two copies in one process must not open one file.
os.environ["CHAINLOG_SQLITE_MODULE"] = "sqlite3"
