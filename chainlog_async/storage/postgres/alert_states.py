"""The state of alerts in PostgreSQL: tables and functions of migrations/0008."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainlog_async.storage.alert_rows import KEEP_DROPPED_MS, MESSAGES_AT_ONCE, episodes_of, messages_of
from chainlog_async.storage.base import AlertStates
from chainlog_async.usage.alerts import AlertChange, AlertEpisode, AlertMessage

from .connection import open_connection
from .errors import DRIVER_ERRORS, database_error
from .reader_pool import ReaderPool, Row
from .url import parse_url

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

_EPISODE = "SELECT id, alert, group_name, rule, value, fired_at, cleared_at FROM alert_episodes"
_OPEN = f"{_EPISODE} WHERE cleared_at IS NULL ORDER BY id"
_NEWEST = f"{_EPISODE} ORDER BY id DESC LIMIT :limit"
_BY_ID = f"{_EPISODE} WHERE id = ANY (:ids::bigint[])"
_DELIVERIES = """
SELECT episode_id, event, target, tries, delivered_at, error, due_at IS NOT NULL FROM alert_messages
WHERE episode_id = ANY (:ids::bigint[]) ORDER BY id
"""
_IS_DUE = """
SELECT 1 FROM alert_messages
WHERE due_at <= clock_ms() AND tries < :most AND target = ANY (:targets::text[]) LIMIT 1
"""
_DROPPED = "SELECT coalesce(sum(entries), 0)::bigint FROM dropped_entries WHERE dropped_at >= :time"


class PostgresAlertStates(AlertStates):
    """Reads through a pool of its own, and opens a connection for each of the few writes."""

    def __init__(self, settings: Settings) -> None:
        self._url = parse_url("" if settings.db_url is None else settings.db_url.get_secret_value())
        self._readers = ReaderPool(self._url, max_readers=1, read_timeout_ms=settings.read_timeout_ms)

    async def take_lease(self, name: str, owner: str, *, for_ms: int) -> bool:
        """See `AlertStates`, as for every method here."""
        ((taken,),) = await self._call("take_alert_lease", name, owner, for_ms)
        return bool(taken)

    async def release(self, name: str, owner: str) -> None:
        """Deletes it."""
        await self._call("release_alert_lease", name, owner)

    async def change(self, lease: str, owner: str, change: AlertChange) -> None:
        """By one function."""
        values = (change.at, change.event, change.alert, change.group, change.when, change.value, list(change.targets))
        await self._call("change_alert", lease, owner, *values)

    async def open_episodes(self) -> list[AlertEpisode]:
        """By their index."""
        return episodes_of(await self._readers.fetch(_OPEN))

    async def episodes(self, limit: int) -> list[AlertEpisode]:
        """With what became of their messages."""
        async with self._readers.snapshot() as snapshot:
            rows = await snapshot.fetch(_NEWEST, {"limit": limit})
            messages = await snapshot.fetch(_DELIVERIES, {"ids": [row[0] for row in rows]})
        return episodes_of(rows, messages)

    async def claim_messages(self, targets: Sequence[str], *, max_tries: int, again_ms: int) -> list[AlertMessage]:
        """Looks first, because nearly always nothing is due."""
        if not await self._readers.fetch(_IS_DUE, {"most": max_tries, "targets": list(targets)}):
            return []
        claimed = await self._call("claim_alert_messages", list(targets), max_tries, again_ms, MESSAGES_AT_ONCE)
        rows = await self._readers.fetch(_BY_ID, {"ids": [row[4] for row in claimed]})
        return messages_of(claimed, rows)

    async def settle_message(self, message_id: int, *, error: str | None, again_ms: int | None) -> None:
        """By one function."""
        await self._call("settle_alert_message", message_id, error, again_ms)

    async def note_dropped(self, entries: int) -> None:
        """One row, and forgets old ones."""
        await self._call("note_dropped", entries, KEEP_DROPPED_MS)

    async def dropped_since(self, time: int) -> int:
        """By the index on the time."""
        ((entries,),) = await self._readers.fetch(_DROPPED, {"time": time})
        return int(str(entries))

    async def aclose(self) -> None:
        """Closes the readers."""
        await self._readers.aclose()

    async def _call(self, function: str, *arguments: object) -> list[Row]:
        """Calls a function of the log's schema, in a transaction of its own."""
        places = ", ".join(f"${number}" for number, _ in enumerate(arguments, 1))
        call = f"SELECT * FROM {self._url.schema}.{function}({places})"  # noqa: S608  # names of ours
        connection = await open_connection(self._url, name="chainlog alerts")
        try:
            async with connection.transaction():
                return [tuple(row) for row in await connection.fetch(call, *arguments)]
        except DRIVER_ERRORS as error:
            raise database_error(self._url.shown, error) from error
        finally:
            connection.terminate()
