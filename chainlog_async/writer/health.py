"""The state of the database as the writer sees it: what failed, what is wrong now, what to do about it."""

from __future__ import annotations

import sqlite3
from typing import Literal

from chainlog_async.common.clock import now_ms
from chainlog_async.common.histogram import Tally
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.statistics import COMMIT_BOUNDS_MS, Health
from chainlog_async.storage.sqlite.version import _SQLITE_NOTE, has_wal_reset_bug


class HealthState:
    """Notes of the writer, its committer and its maintenance; all on the writer's event loop."""

    def __init__(self) -> None:
        self.running = False
        """Whether there is a writer."""
        self.retries = 0
        self.last_error: str | None = None
        self.last_error_at: int | None = None
        self.commit_ms = Tally(COMMIT_BOUNDS_MS)
        self.wal_bytes = self.database_bytes = 0
        self.checkpoints_complete = 0
        self.checkpoints_partial = 0
        self.too_large: str | None = None
        """Why the database is larger than it may be, with the remedy."""
        self._failing = False
        self._damage: str | None = None
        self._integrity: str | None = None
        self._wal: str | None = None
        self._maintenance: str | None = None
        self._leftover: str | None = None
        self._log_throttle = LogThrottle()

    def note_retry(self) -> None:
        """A commit failed and will be tried again."""
        self.retries += 1

    def note_error(self, detail: str) -> None:
        """What keeps entries from the database."""
        self.last_error = detail
        self.last_error_at = now_ms()
        self._failing = True
        self._log_throttle.warn("writing failed, trying again", detail)

    def note_damage(self, detail: str) -> None:
        """The database is damaged."""
        self.note_error(detail)
        self._damage = (
            f"the database is damaged ({detail}) and nothing is written to it: move it away together with its -wal "
            "and -shm, or move a recovered copy (sqlite3 FILE .recover) into its place; writing then goes on by itself"
        )

    def note_success(self, took_s: float) -> None:
        """A batch was committed, in so many seconds."""
        self.commit_ms.add(1_000 * took_s)
        self._failing = False
        self._damage = None

    def note_reopened(self) -> None:
        """Another file is open now."""
        self._integrity = self._damage = None
        self._failing = False

    def note_maintenance(self, detail: str | None) -> None:
        """What keeps the rounds between batches from being done, or None when one went well."""
        self._maintenance = detail
        if detail is not None:
            self.last_error = detail
            self.last_error_at = now_ms()
            self._log_throttle.warn("upkeep failed, trying again", detail)

    def note_leftover(self, detail: str) -> None:
        """What a dead writer left could not be read, and waits for the next start."""
        self._leftover = detail
        self._log_throttle.warn("a journal was passed over", detail)

    def note_integrity(self, finding: str) -> None:
        """`PRAGMA quick_check` found something after an unclean end."""
        self._integrity = f"after an unclean end, quick_check found: {finding}; make a copy, then run `chainlog check`"

    def note_wal(self, size: int, *, frames: int = 0, moved: int = 0) -> None:
        """Size of the write-ahead log, in bytes, and what a checkpoint moved of it if there was one.

        SQLite says -1 of both where another process was at it.
        """
        self.wal_bytes = size
        self._wal = None
        if frames < 0:
            self.checkpoints_partial += 1
            self._wal = (
                f"the write-ahead log has {size} bytes and cannot be emptied, because another process is at it; if "
                "that lasts, find out what holds it up, or end it"
            )
        elif frames and moved == frames:
            self.checkpoints_complete += 1
        elif frames:
            self.checkpoints_partial += 1
            self._wal = (
                f"the write-ahead log has {size} bytes and cannot be emptied, because somebody has been reading an "
                f"old state of the database for long ({moved} of {frames} frames moved): end that reader"
            )

    def health(self, journal_error: str | None) -> Health:
        """Whether entries reach the database; failed only where somebody has to do something."""
        if not self.running:
            return Health(status="failed", reasons=("no writer is running; start the log's run(), or open it again",))
        failed = [reason for reason in (self._damage, self._integrity) if reason]
        degraded = [self._wal] if self._wal else []
        if self._failing and not self._damage:
            degraded.append(f"commits fail and are tried again: {self.last_error}")
        if self._maintenance:
            degraded.append(f"entries are written, but the database is not looked after: {self._maintenance}")
        if self._leftover:
            degraded.append(
                f"{self._leftover}; free the cause, then run `chainlog journal replay` or start the gateway again"
            )
        if journal_error is not None:
            degraded.append(f"entries wait in memory and would not survive a kill: {journal_error}")
        old_sqlite = _SQLITE_NOTE if has_wal_reset_bug(sqlite3.sqlite_version_info) else None
        status: Literal["ok", "degraded", "failed"] = "failed" if failed else "degraded" if degraded else "ok"
        return Health(
            status=status,
            reasons=(*failed, *degraded),
            notes=tuple(note for note in (old_sqlite, self.too_large) if note),
        )
