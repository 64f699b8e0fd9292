"""What the tests with LiteLLM look at: the rows, once LiteLLM has run its callbacks."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from chainlog_async.integrations.litellm import ChainlogHandler

PROMPT = "the quick brown fox of this test jumps"
MESSAGES = [{"role": "user", "content": PROMPT}]

# LiteLLM's own, in its own modules; from everywhere else a warning is an error.
only_litellm_may_warn = pytest.mark.filterwarnings("ignore:::litellm", "ignore:::pydantic")

Row = dict[str, object]


@dataclass
class Logged:
    """A handler, and what it has written."""

    handler: ChainlogHandler
    database: Path

    async def rows(self, *, answered: int = 0, failed: int = 0) -> list[Row]:
        """Waits until LiteLLM has reported so many requests, and gives the rows that are there after the close."""
        await asyncio.to_thread(until, lambda: written(self.database) >= answered and len(self.handler._join) >= failed)
        # Whatever it might report beyond that.
        await GLOBAL_LOGGING_WORKER.flush()
        await asyncio.to_thread(self.handler.close)
        return rows_of(self.database)


def written(database: Path) -> int:
    """How many rows there are."""
    with closing(sqlite3.connect(database)) as connection:
        try:
            (count,) = connection.execute("SELECT count(*) FROM request_logs").fetchone()
        except sqlite3.OperationalError:  # the handler has not made the table yet
            return 0
    return int(count)


def are_reported(database: Path, request_ids: Collection[str]) -> bool:
    """Whether all of these requests are in the log: LiteLLM reports a request some time after its answer."""
    with closing(sqlite3.connect(database)) as connection:
        names = {name for (name,) in connection.execute("SELECT request_id FROM request_logs")}
    return names.issuperset(request_ids)


def until(condition: Callable[[], bool]) -> None:
    """Waits for a state; pytest's timeout ends the test when it never comes."""
    while not condition():
        time.sleep(0.02)


def rows_of(database: Path) -> list[Row]:
    """The rows in the order of their end; no text of a prompt is anywhere in the file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM request_logs ORDER BY timestamp, id")]
        assert PROMPT not in "\n".join(connection.iterdump())
    for row in rows:
        trail = row["attempt_trail"]
        row["statuses"] = [attempt.get("http_status") for attempt in json.loads(trail)] if trail else None
    return rows
