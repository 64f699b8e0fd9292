"""Whether other processes can write while a task pauses."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async.admin import session


def free_locks_at_pauses(monkeypatch: pytest.MonkeyPatch, path: Path) -> list[bool]:
    """Notes at each pause between two write transactions of a task whether the lock of the database was free."""
    found: list[bool] = []

    async def look() -> None:
        found.append(await asyncio.to_thread(_is_free, path))

    monkeypatch.setattr(session, "pause_for_writers", look)
    return found


def _is_free(path: Path) -> bool:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True
