"""The state of alerts in a SQLite file: tables and triggers of migrations/0014."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from chainlog_async.common.clock import now_ms
from chainlog_async.storage.alert_rows import KEEP_DROPPED_MS, MESSAGES_AT_ONCE, episodes_of, messages_of
from chainlog_async.storage.base import AlertStates
from chainlog_async.usage.alerts import AlertChange, AlertEpisode, AlertMessage

from .connection import close_connection, open_aside
from .errors import named_errors
from .reader_pool import ReaderPool

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

_TAKE = """
INSERT INTO alert_leases (name, owner, until) VALUES (:name, :owner, :now + :for_ms)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE owner = excluded.owner OR until <= :now OR until > :now + 86400000
RETURNING 1
"""
_RELEASE = "DELETE FROM alert_leases WHERE name = ? AND owner = ?"
_CHANGE = """
INSERT INTO alert_changes (lease, owner, at, event, alert, group_name, rule, value, targets)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_EPISODE = "alert_episodes.id, alert, group_name, rule, value, fired_at, cleared_at"
_OPEN = f"SELECT {_EPISODE} FROM alert_episodes WHERE cleared_at IS NULL ORDER BY id"  # noqa: S608  # a constant
_NEWEST = f"SELECT {_EPISODE} FROM alert_episodes ORDER BY id DESC LIMIT ?"  # noqa: S608  # a constant
_DELIVERIES = """
SELECT episode_id, event, target, tries, delivered_at, error, due_at IS NOT NULL FROM alert_messages
WHERE episode_id IN (SELECT value FROM json_each(?)) ORDER BY id
"""
_DUE = """
SELECT id FROM alert_messages AS message
WHERE due_at <= :now AND tries < :max_tries AND target IN (SELECT value FROM json_each(:targets))
  AND NOT EXISTS (
    SELECT 1 FROM alert_messages AS before
    WHERE before.episode_id = message.episode_id AND before.target = message.target AND before.id < message.id
      AND before.due_at IS NOT NULL AND before.tries < :max_tries
  )
ORDER BY id LIMIT :limit
"""
_CLAIM = f"""
UPDATE alert_messages SET tries = tries + 1, due_at = :now + :again_ms WHERE id IN ({_DUE})
RETURNING id, event, target, tries, episode_id
"""  # noqa: S608  # built from constants of this module
_EPISODES = f"SELECT {_EPISODE} FROM alert_episodes WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608  # a constant
_SETTLE = """
UPDATE alert_messages SET
  error = :error,
  due_at = CASE WHEN :error IS NULL THEN NULL ELSE :now + :again_ms END,
  delivered_at = CASE WHEN :error IS NULL THEN :now END
WHERE id = :id
"""
_NOTE_DROPPED = "INSERT INTO dropped_entries (dropped_at, entries) VALUES (?, ?)"
_FORGET_DROPPED = "DELETE FROM dropped_entries WHERE dropped_at < ?"
_DROPPED = "SELECT COALESCE(SUM(entries), 0) FROM dropped_entries WHERE dropped_at >= ?"


class SqliteAlertStates(AlertStates):
    """Reads over connections of its own, and opens one for each of the few writes: the file may have been replaced."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.db_path
        self._busy_timeout_ms = settings.busy_timeout_ms
        self._readers = ReaderPool(
            settings.db_path,
            busy_timeout_ms=settings.busy_timeout_ms,
            max_readers=1,
            read_timeout_ms=settings.read_timeout_ms,
        )

    async def take_lease(self, name: str, owner: str, *, for_ms: int) -> bool:
        """See `AlertStates`, as for every method here. A lease of more than a day is of a clock that was ahead."""
        # Another file may be at the path by now, from which everything else is read until the next time.
        await self._readers.renew()
        return bool(await self._write(_TAKE, {"name": name, "owner": owner, "now": now_ms(), "for_ms": for_ms}))

    async def release(self, name: str, owner: str) -> None:
        """Deletes it."""
        await self._write(_RELEASE, (name, owner))

    async def change(self, lease: str, owner: str, change: AlertChange) -> None:
        """By an insert into the view `alert_changes`."""
        targets = msgspec.json.encode(change.targets).decode()
        values = (change.at, change.event, change.alert, change.group, change.when, change.value, targets)
        await self._write(_CHANGE, (lease, owner, *values))

    async def open_episodes(self) -> list[AlertEpisode]:
        """By their index."""
        return episodes_of(await self._readers.fetch(_OPEN))

    async def episodes(self, limit: int) -> list[AlertEpisode]:
        """With what became of their messages."""
        rows = await self._readers.fetch(_NEWEST, (limit,))
        ids = msgspec.json.encode([row[0] for row in rows]).decode()
        return episodes_of(rows, await self._readers.fetch(_DELIVERIES, (ids,)))

    async def claim_messages(self, targets: Sequence[str], *, max_tries: int, again_ms: int) -> list[AlertMessage]:
        """Looks first, because nearly always nothing is due."""
        asked: dict[str, object] = {
            "now": now_ms(),
            "max_tries": max_tries,
            "targets": msgspec.json.encode(targets).decode(),
            "limit": MESSAGES_AT_ONCE,
        }
        if not await self._readers.fetch(_DUE, asked):
            return []
        claimed = await self._write(_CLAIM, {**asked, "again_ms": again_ms})
        ids = msgspec.json.encode([row[4] for row in claimed]).decode()
        return messages_of(claimed, await self._readers.fetch(_EPISODES, (ids,)))

    async def settle_message(self, message_id: int, *, error: str | None, again_ms: int | None) -> None:
        """In one statement."""
        await self._write(_SETTLE, {"id": message_id, "error": error, "now": now_ms(), "again_ms": again_ms})

    async def note_dropped(self, entries: int) -> None:
        """One row, and forgets old ones."""
        now = now_ms()
        await self._write(_NOTE_DROPPED, (now, entries))
        await self._write(_FORGET_DROPPED, (now - KEEP_DROPPED_MS,))

    async def dropped_since(self, time: int) -> int:
        """By the index on the time."""
        ((entries,),) = await self._readers.fetch(_DROPPED, (time,))
        return int(str(entries))

    async def aclose(self) -> None:
        """Closes the readers."""
        await self._readers.aclose()

    async def _write(self, sql: str, parameters: Sequence[object] | dict[str, object]) -> list[tuple[object, ...]]:
        """One autocommitted statement; SQLite waits for the lock in this connection's own thread."""
        connection = await open_aside(self._path, busy_timeout_ms=self._busy_timeout_ms)
        try:
            with named_errors(self._path):
                return [tuple(row) for row in await connection.execute_fetchall(sql, parameters)]
        finally:
            await close_connection(connection, interrupting=True)
