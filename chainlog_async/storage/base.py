"""The seam between the writer, the readers and a storage engine.

The writer knows an engine only as `BatchStorage` and hears from it through `StorageEvents`; `UsageAggregator` asks it
through `ReadStorage`, and alerts keep their state in `AlertStates`. A new engine implements the three and names itself
in `tests/storage/` to run the contract tests; `storage.engines` chooses which one a log uses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chainlog_async.errors import DatabaseError

if TYPE_CHECKING:
    from chainlog_async.entry.batch import Batch
    from chainlog_async.prices.model import Price
    from chainlog_async.requests.filter import RequestFilter
    from chainlog_async.requests.model import RequestLogRow, RequestPage
    from chainlog_async.requests.sessions import Session, SessionFilter, SessionPage
    from chainlog_async.usage.alerts import AlertChange, AlertEpisode, AlertMessage
    from chainlog_async.usage.metric_totals import MetricTotals
    from chainlog_async.usage.points import LatencyPoint, UsagePoint
    from chainlog_async.usage.provider_health import ProviderHealth
    from chainlog_async.usage.query import UsageQuery
    from chainlog_async.usage.time_window import Window
    from chainlog_async.usage.totals import ChainUsage, Names, ProviderUsage, SummaryStats


class StorageFault(Enum):
    """What an error means, and so what the writer does about it."""

    BUSY = "busy"
    """Another process or transaction holds a lock: wait and try again."""
    STORAGE = "storage"
    """Disk full, I/O error, read-only, file or server gone: keep the batch and try again until it works."""
    DAMAGED = "damaged"
    """The database is corrupt or no database at all: nothing written to it now can be trusted."""
    ROW = "row"
    """The engine refuses something in the batch: find the row."""
    BEHIND = "behind"
    """The engine has less of the stream than it had: send again what it lost, from its position on, and then go on."""
    UNKNOWN = "unknown"
    """An error of the engine's that is none of these: keep the batch and try again."""
    OTHER = "other"
    """Not an error of the engine's: keep the batch and try again."""


class PositionBehindError(DatabaseError):
    """The engine has less of a writer's stream than it had: a server that was behind took over, or a backup is back.

    What it lost is to be sent again from its position on, up to `until`, where it was before (bytes of the stream).
    """

    def __init__(self, writer_id: str, position: int, until: int) -> None:
        super().__init__(
            f"the database has {position} bytes of the stream of writer {writer_id}, and had {until} before: a server "
            "that was behind has taken over, or a backup was restored"
        )
        self.writer_id = writer_id
        self.until = until


class StorageEvents(Protocol):
    """What an engine reports of itself between batches; the writer's health implements it."""

    def note_maintenance(self, problem: str | None) -> None:
        """Why maintenance failed, or None when a round succeeded."""

    def note_size(self, database_bytes: int) -> None:
        """Size of the database, in bytes, without its write-ahead log."""

    def note_wal(self, size: int, *, frames: int = 0, moved: int = 0) -> None:
        """Size of the write-ahead log, in bytes, and what a checkpoint moved of it; -1 of both if it was refused."""

    def note_too_large(self, reason: str | None) -> None:
        """Why the database is larger than it may be, with the remedy; None when it is not."""

    def note_corruption(self, finding: str) -> None:
        """What a check after a crash found wrong with the database."""

    def note_reopened(self) -> None:
        """Another database is open now; what was noted of the one before no longer holds."""


class IgnoredEvents(StorageEvents):
    """For an engine that is used without a writer: nobody hears of anything."""

    def note_maintenance(self, problem: str | None) -> None:
        """Ignored, as all of them."""

    def note_size(self, database_bytes: int) -> None:
        """Ignored."""

    def note_wal(self, size: int, *, frames: int = 0, moved: int = 0) -> None:
        """Ignored."""

    def note_too_large(self, reason: str | None) -> None:
        """Ignored."""

    def note_corruption(self, finding: str) -> None:
        """Ignored."""

    def note_reopened(self) -> None:
        """Ignored."""


class BatchStorage(Protocol):
    """One engine as the writer uses it: batches in, exactly once.

    Used from one event loop by one task at a time, but for `interrupt` and `wait_until_idle`, which shutdown calls
    while a statement may still run. What it raises on its own is any exception; `classify` says what it means.
    """

    @property
    def is_stuck(self) -> bool:
        """Whether the engine did not answer when it was asked for the last time."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know about this engine, although nothing is wrong; each a sentence."""

    @property
    def damage_remedy(self) -> str:
        """What an operator has to do about a damaged database."""

    def report_to(self, events: StorageEvents, on_reopen: Callable[[], Awaitable[None]]) -> None:
        """Names who hears of events. `on_reopen` is awaited whenever another database was opened."""

    async def start(self) -> Path:
        """Called once before the first batch. Returns the path beside which the writer's journal is kept.

        Raises `DatabaseError`.
        """

    async def commit(self, batch: Batch) -> None:
        """Commits the rows, their totals and the batch's end position, all of it or nothing.

        A batch whose end is not beyond the stored position changes nothing and raises nothing, so after an error or a
        cancellation the same batch, or the rest of it, is simply sent again. Raises `PositionBehindError` when the
        stored position is before where it was.
        """

    async def add_prices(self, prices: Sequence[Price], names: Mapping[tuple[str, str], tuple[str, str]]) -> None:
        """Stores prices that are not known yet, and under which names those of the logged names are kept.

        Does nothing in an engine without a table of prices.
        """
        del prices, names

    async def reject(self, row: Batch, error: Exception) -> None:
        """Keeps a batch of one row apart, as rejected for that error, and stores its end position."""

    async def position(self, writer_id: str) -> int:
        """How far that writer's stream is committed, in bytes; 0 when nothing is."""

    async def forget(self, writer_id: str) -> None:
        """Deletes that writer's position, once its journal is deleted."""

    async def interrupt(self, batch: Batch) -> int | None:
        """Ends a statement that may still run. Returns how far the batch's stream is committed then.

        None when the engine does not answer in time: the batch may still be committed.
        """

    async def wait_until_idle(self) -> bool:
        """Ends a statement that may still run. False when the engine does not answer in time."""

    def classify(self, error: BaseException, batch: Batch | None = None) -> StorageFault:
        """What the error means; with `batch`, what it means for committing that batch. Never judges by message."""

    def describe(self, error: BaseException) -> str:
        """The error in words, with the engine's own name for it, for health and log lines."""

    async def recover(self, fault: StorageFault) -> None:
        """Does what can be done about a fault before the next try.

        With a damaged database that may wait until an operator acts. Raises when it did not succeed.
        """

    async def maintain(self, *, is_behind: bool) -> float:
        """A short round of maintenance, if one is due. Returns the time until the next one, in seconds.

        `is_behind` says that full batches wait. Problems are reported as events; raises only for a damaged database,
        and `PositionBehindError`.
        """

    async def check_after_crash(self) -> None:
        """Looks for damage after a writer was killed, beside the batches. Reports what it finds and never raises."""

    async def aclose(self) -> None:
        """Closes everything, whatever state it is in. Never raises for an error of the engine's."""


class ReadStorage(Protocol):
    """One engine as `UsageAggregator` asks it; each method is described there.

    Raises `DatabaseError` when the database cannot be read, and `ValueError` for a question that makes no sense.
    """

    async def aclose(self) -> None:
        """Closes every connection."""

    async def renew(self) -> None:
        """Lets go of open connections: another database is in the place of the one before."""

    async def get_all_provider_usage(self) -> list[ProviderUsage]:
        """All-time totals of every provider, last used first."""

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """All-time totals of one provider."""

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """All-time totals of every chain, last used first."""

    async def get_chain_usage(self, chain_name: str) -> ChainUsage | None:
        """All-time totals of one chain."""

    async def get_summary_stats(self) -> SummaryStats:
        """The whole log in three numbers."""

    async def get_recent_requests(self, limit: int) -> list[RequestLogRow]:
        """The newest requests, newest first."""

    async def get_requests_after(self, after_id: int, *, limit: int) -> list[RequestLogRow]:
        """The first requests stored after that one, in the order they were stored."""

    async def find_requests(self, where: RequestFilter, *, limit: int, cursor: str | None) -> RequestPage:
        """One page of the requests that match, newest first."""

    async def get_request(self, request_id: int) -> RequestLogRow | None:
        """One request by its id in the database."""

    async def find_sessions(self, where: SessionFilter, *, limit: int, cursor: str | None) -> SessionPage:
        """One page of sessions, the one with the newest request first."""

    async def get_session(self, session_id: str, *, caller: str | None) -> Session | None:
        """One session, or what of it is of that caller."""

    async def find_request_ids(self, prefix: str, *, limit: int) -> list[str]:
        """The first of the gateway's own ids that begin with the prefix, in their order."""

    async def get_newest_id(self) -> int:
        """The id of the request that was stored last, or 0."""

    async def get_oldest_timestamp(self) -> int | None:
        """The earliest timestamp in the log, in ms since the epoch, UTC."""

    async def get_usage(self, query: UsageQuery) -> list[UsagePoint]:
        """Usage by step and group."""

    async def get_latency(self, query: UsageQuery) -> list[LatencyPoint]:
        """Percentiles and rates by step and group."""

    async def get_provider_health(self, window: Window) -> list[ProviderHealth]:
        """Attempts of each model of each provider."""

    async def get_prices(self, models: Sequence[tuple[str, str]], at: int) -> list[Price | None]:
        """What each provider's model costs at a time, without a tier; None where the table of prices has none."""

    async def get_names(self) -> Names:
        """The names that requests can be filtered by."""

    async def get_metric_totals(self, max_groups: int) -> MetricTotals:
        """All-time totals for counters that are scraped again and again."""


class AlertStates(Protocol):
    """The state of alerts in one engine, shared by every process that writes to the log.

    Each method is a read, or one short transaction on a connection that the writer does not use. Times are in ms since
    the epoch, UTC. Raises `DatabaseError`.
    """

    async def take_lease(self, name: str, owner: str, *, for_ms: int) -> bool:
        """Whether `owner` alone evaluates the rules of that name from now on, for so long; asked for again to go on.

        False while another owner's lease lasts.
        """

    async def release(self, name: str, owner: str) -> None:
        """Lets others take the lease at once."""

    async def change(self, lease: str, owner: str, change: AlertChange) -> None:
        """Begins or ends an episode, and has its targets told.

        Does nothing when the episode has begun or ended already, or when `owner` no longer has the lease.
        """

    async def open_episodes(self) -> list[AlertEpisode]:
        """The episodes that last, oldest first; without their deliveries."""

    async def episodes(self, limit: int) -> list[AlertEpisode]:
        """The newest episodes, newest first."""

    async def claim_messages(self, targets: Sequence[str], *, max_tries: int, again_ms: int) -> list[AlertMessage]:
        """Takes some of the messages that are due for these targets, in order, and counts a try of each.

        Nobody else gets one within `again_ms`, after which it counts as not sent. A target hears that an alert has
        cleared only after it heard, or can no longer hear, that it fired.
        """

    async def settle_message(self, message_id: int, *, error: str | None, again_ms: int | None) -> None:
        """Says what became of a claimed message: delivered, or why not and when to try again (None for never)."""

    async def note_dropped(self, entries: int) -> None:
        """Counts entries that this process dropped just now."""

    async def dropped_since(self, time: int) -> int:
        """How many entries all processes have noted as dropped since then."""

    async def aclose(self) -> None:
        """Closes every connection."""
