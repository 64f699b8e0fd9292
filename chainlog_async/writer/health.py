"""What failed, what is wrong now, and what an operator can do about it, as the writer sees it."""

from __future__ import annotations

from typing import Literal

from chainlog_async.common.clock import now_ms
from chainlog_async.common.histogram import Tally
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.statistics import COMMIT_BOUNDS_MS, Health, JournalWriteMethod
from chainlog_async.storage.base import StorageEvents, StorageFault


class HealthState(StorageEvents):
    """Collects what the writer, its committer and the storage engine report, on the writer's event loop."""

    def __init__(self) -> None:
        self.running = False
        """Whether the writer runs."""
        self.retries = 0
        self.last_error: str | None = None
        self.last_error_at: int | None = None
        self._fault: StorageFault | None = None
        self.commit_ms = Tally(COMMIT_BOUNDS_MS)
        self.wal_bytes = self.database_bytes = 0
        self.checkpoints_complete = 0
        self.checkpoints_partial = 0
        self._too_large: str | None = None
        self._failing = False
        self._damage: str | None = None
        self._corruption: str | None = None
        self._lost: str | None = None
        self._wal: str | None = None
        self._maintenance: str | None = None
        self._leftovers: list[str] = []
        self._log_throttle = LogThrottle()

    @property
    def write_error(self) -> str | None:
        """Why the last try to write failed, unless it was only a lock of another process; None once one succeeded."""
        return None if self._fault in (None, StorageFault.BUSY) else self.last_error

    def note_retry(self) -> None:
        """Notes that a commit failed and will be tried again."""
        self.retries += 1

    def note_error(self, detail: str, fault: StorageFault = StorageFault.OTHER) -> None:
        """Notes what keeps entries from being written, and what kind of error that is."""
        self._fault = fault
        self.last_error = detail
        self.last_error_at = now_ms()
        self._failing = True
        self._log_throttle.warn("writing failed; trying again", detail)

    def note_damage(self, detail: str, remedy: str) -> None:
        """Notes that the database is damaged, and what an operator has to do."""
        self.note_error(detail, StorageFault.DAMAGED)
        self._damage = f"the database is damaged ({detail}) and nothing is being written to it: {remedy}"

    def note_success(self, took_s: float) -> None:
        """Notes that a batch was committed, which took `took_s` seconds."""
        self.commit_ms.add(1_000 * took_s)
        self._failing = False
        self._damage = self._fault = None

    def note_lost(self, size: int) -> None:
        """Notes that the database has lost `size` bytes of what was committed, which no journal holds any more."""
        self._lost = (
            f"the database has lost {size} bytes of entries that were committed, and that are in no journal any more; "
            "raise journal_keep_s, or commit to a synchronous standby"
        )
        self._log_throttle.warn("committed entries were lost", self._lost)

    def note_leftovers(self, problems: list[str]) -> None:
        """Notes which journals of dead writers could not be read the last time. Each is logged once."""
        for problem in problems:
            if problem not in self._leftovers:
                self._log_throttle.warn("a journal was skipped", problem)
        self._leftovers = problems

    def note_reopened(self) -> None:
        """See `StorageEvents`."""
        self._corruption = self._damage = None
        self._failing = False

    def note_maintenance(self, problem: str | None) -> None:
        """See `StorageEvents`."""
        self._maintenance = problem
        if problem is not None:
            self.last_error = problem
            self.last_error_at = now_ms()
            self._log_throttle.warn("maintenance failed; trying again", problem)

    def note_size(self, database_bytes: int) -> None:
        """See `StorageEvents`."""
        self.database_bytes = database_bytes

    def note_too_large(self, reason: str | None) -> None:
        """See `StorageEvents`."""
        self._too_large = reason

    def note_corruption(self, finding: str) -> None:
        """See `StorageEvents`."""
        self._corruption = f"after a crash, {finding}"

    def note_wal(self, size: int, *, frames: int = 0, moved: int = 0) -> None:
        """See `StorageEvents`."""
        self.wal_bytes = size
        self._wal = None
        if frames > 0 and moved == frames:
            self.checkpoints_complete += 1
        elif frames:
            self.checkpoints_partial += 1
            why = (
                "another process is checkpointing it; if that lasts, find that process and end it"
                if frames < 0
                else f"a reader has held an old snapshot of the database for long ({moved} of {frames} frames moved): "
                "end that reader"
            )
            self._wal = f"the write-ahead log has {size} bytes and cannot be emptied, because {why}"

    def health(
        self, journal_error: str | None, notes: tuple[str, ...] = (), journal_write: JournalWriteMethod | None = None
    ) -> Health:
        """Whether entries reach the database: ``failed`` only when an operator has to act. `notes` are included."""
        if not self.running:
            return Health(status="failed", reasons=("no writer is running; start the log's run(), or open it again",))
        failed = [reason for reason in (self._damage, self._corruption, self._lost) if reason]
        degraded = [self._wal] if self._wal else []
        if self._failing and not self._damage:
            degraded.append(f"commits fail and are being retried: {self.last_error}")
        if self._maintenance:
            degraded.append(f"entries are written, but maintenance fails: {self._maintenance}")
        if self._leftovers:
            degraded.append(
                f"{self._leftovers[-1]}; fix the cause, and it is replayed within a minute, or at once by "
                "`chainlog journal replay`"
            )
        if journal_error is not None:
            degraded.append(f"entries wait in memory and would not survive a kill: {journal_error}")
        status: Literal["ok", "degraded", "failed"] = "failed" if failed else "degraded" if degraded else "ok"
        return Health(
            status=status,
            reasons=(*failed, *degraded),
            notes=(*notes, self._too_large) if self._too_large else notes,
            journal_write=journal_write,
        )
