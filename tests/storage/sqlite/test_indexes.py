"""The conditions of partial indexes that queries repeat."""

from __future__ import annotations

from pathlib import Path

from chainlog_async.storage.sqlite.indexes import MAY_HAVE_FAILED
from tests.support.schemas import query


async def test_the_condition_of_failures_is_that_of_its_index(database: Path) -> None:
    """A query with any other would not use it."""
    ((sql,),) = query(database, "SELECT sql FROM sqlite_master WHERE name = 'idx_logs_errors'")
    assert " ".join(str(sql).split()).endswith(f"WHERE {MAY_HAVE_FAILED}")
