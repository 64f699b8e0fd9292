"""The indexes that finding requests needs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

INDEXES = """
DROP INDEX IF EXISTS idx_logs_provider;
DROP INDEX IF EXISTS idx_logs_chain;
CREATE INDEX IF NOT EXISTS idx_logs_chain ON request_logs (chain_name, timestamp);
CREATE INDEX IF NOT EXISTS idx_logs_provider ON request_logs (provider_id, timestamp);
CREATE INDEX IF NOT EXISTS idx_logs_model ON request_logs (model, timestamp);
CREATE INDEX IF NOT EXISTS idx_logs_caller ON request_logs (caller, timestamp) WHERE caller IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_logs_errors ON request_logs (timestamp) WHERE http_status >= 400;
CREATE INDEX IF NOT EXISTS idx_logs_request_id ON request_logs (request_id) WHERE request_id IS NOT NULL;
"""


def add_indexes(path: Path) -> None:
    """Put them into a database that has not got them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(INDEXES)
