"""Who used what, how much, how fast: reads whose cost does not grow with the log."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import LoggedRequest, RequestPage
from chainlog_async.storage.sqlite.queries.metric_totals import RunningTotals
from chainlog_async.storage.sqlite.queries.provider_health import provider_health
from chainlog_async.storage.sqlite.queries.requests import (
    find_requests,
    get_newest_id,
    get_oldest_timestamp,
    get_request,
    get_requests_after,
)
from chainlog_async.storage.sqlite.queries.usage import UsageQuestion
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.metric_totals import Totals
from chainlog_async.usage.points import EVERYTHING, LatencyPoint, UsageFilter, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import MAX_NAMES, ChainUsage, Names, ProviderUsage, SummaryStats

T = TypeVar("T")

# Named so that the tests can ask SQLite how it means to answer each of them.
_PROVIDERS = (
    "SELECT provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, "
    "last_request_timestamp FROM usage_by_provider"
)
_CHAINS = (
    "SELECT chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, "
    "last_request_timestamp FROM usage_by_chain"
)
_ROWS = (
    "SELECT id, timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens, "
    "latency_ms, http_status, attempts, error_message FROM request_logs"
)
ALL_PROVIDERS = _PROVIDERS + " ORDER BY last_request_timestamp DESC, provider_id"
ONE_PROVIDER = _PROVIDERS + " WHERE provider_id = ?"
ALL_CHAINS = _CHAINS + " ORDER BY last_request_timestamp DESC, chain_name"
ONE_CHAIN = _CHAINS + " WHERE chain_name = ?"
RECENT = _ROWS + " ORDER BY timestamp DESC, id DESC LIMIT ?"
AFTER_ID = _ROWS + " WHERE id > ? ORDER BY id LIMIT ?"
SUMMARY = "SELECT total_requests, waterfall_requests, total_latency_ms FROM usage_summary WHERE id = 1"


CHAIN_NAMES = "SELECT chain_name FROM usage_by_chain ORDER BY total_requests DESC, chain_name LIMIT ?"
PROVIDER_NAMES = "SELECT provider_id FROM usage_by_provider ORDER BY total_requests DESC, provider_id LIMIT ?"
# Days that are rolled up, and the buckets of what is not yet.
MODEL_NAMES = """
SELECT model FROM usage_rollups WHERE width = 86400000 AND dimension = 'model'
UNION
SELECT model FROM usage_rollups WHERE width = 3600000 AND dimension = 'model' AND start >= (
  SELECT rolled_until - 172800000 FROM rollup_progress WHERE id = 1
)
UNION
SELECT model FROM usage_buckets WHERE start >= (SELECT rolled_until FROM rollup_progress WHERE id = 1)
ORDER BY model LIMIT ?
"""
CALLER_NAMES = """
SELECT caller FROM usage_rollups WHERE width = 86400000 AND dimension = 'caller' AND caller <> ''
UNION
SELECT caller FROM usage_rollups WHERE width = 3600000 AND dimension = 'caller' AND caller <> '' AND start >= (
  SELECT rolled_until - 172800000 FROM rollup_progress WHERE id = 1
)
UNION
SELECT caller FROM usage_buckets
WHERE start >= (SELECT rolled_until FROM rollup_progress WHERE id = 1) AND caller <> ''
ORDER BY caller LIMIT ?
"""


class RequestLogRow(msgspec.Struct, frozen=True, rename="camel"):
    """One request as it is stored."""

    id: int
    timestamp: int
    """In ms since the epoch, UTC."""
    chain_name: str
    provider_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    latency_ms: int
    http_status: int
    attempts: int
    error_message: str | None


class _Sums(msgspec.Struct):
    requests: int
    waterfalls: int
    latency_ms: float
    """An int, unless the original, whose numbers are doubles, has stored a latency with a fraction."""


class UsageAggregator:
    """Answers from tables that triggers keep current, over read-only connections of its own.

    Connections are opened when they are first needed. Every method raises `DatabaseError` when the database cannot
    be read: `DatabaseMissingError`, `OlderDatabaseError` and so on.
    """

    def __init__(
        self,
        db_path: str | Path,
        *,
        busy_timeout_ms: int = 5_000,
        max_readers: int = 4,
        read_timeout_ms: int = 30_000,
    ) -> None:
        self._readers = ReaderPool(
            db_path, busy_timeout_ms=busy_timeout_ms, max_readers=max_readers, read_timeout_ms=read_timeout_ms
        )
        self._running_totals = RunningTotals(self._readers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._readers.aclose()

    async def renew(self) -> None:
        """Lets go of the open connections, because the file at the path is another one now."""
        self._running_totals.forget()
        await self._readers.renew()

    async def get_all_provider_usage(self) -> list[ProviderUsage]:
        """Every provider, last used first."""
        return await self._all(ProviderUsage, ALL_PROVIDERS)

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """One provider, or None when nothing was ever logged for it."""
        return await self._one(ProviderUsage, ONE_PROVIDER, provider_id)

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """Every chain, last used first."""
        return await self._all(ChainUsage, ALL_CHAINS)

    async def get_chain_usage(self, chain_name: str) -> ChainUsage | None:
        """One chain, or None when nothing was ever logged for it."""
        return await self._one(ChainUsage, ONE_CHAIN, chain_name)

    async def get_recent_requests(self, limit: int = 50, *, after_id: int | None = None) -> list[RequestLogRow]:
        """The newest requests, newest first; of the same millisecond, the one stored last is the newest.

        With `after_id`, the first `limit` rows stored after that one, in the order they were stored: what a follower
        asks for again and again. Raises `ValueError` when `limit` is below 1.
        """
        if limit < 1:
            raise ValueError(f"limit is {limit}; give 1 or more")
        if after_id is None:
            return await self._all(RequestLogRow, RECENT, limit)
        return await self._all(RequestLogRow, AFTER_ID, after_id, limit)

    async def find_requests(self, where: RequestFilter, *, limit: int = 50, cursor: str | None = None) -> RequestPage:
        """One page of the requests that the filter means, newest first; of the same ms, the last stored is first.

        `cursor` is the page before's `next_cursor`. A page looks at a bounded number of rows, however large the log is
        and however few of them match: it may be short, or empty, and still have a `next_cursor`. Raises `ValueError`
        when `limit` is not from 1 to 500, or `cursor` is none.
        """
        return await find_requests(self._readers, where, limit=limit, cursor=cursor)

    async def get_request(self, request_id: int) -> LoggedRequest | None:
        """One request with everything that is known of it, by its id in this database; None when there is none."""
        return await get_request(self._readers, request_id)

    async def get_requests_after(self, after_id: int, *, limit: int = 500) -> list[LoggedRequest]:
        """The first requests stored after the one with that id, in the order they were stored: for a follower."""
        return await get_requests_after(self._readers, after_id, limit=limit)

    async def get_newest_id(self) -> int:
        """The id of the request that was stored last, or 0: where a follower begins."""
        return await get_newest_id(self._readers)

    async def get_oldest_timestamp(self) -> int | None:
        """The earliest timestamp in the log, in ms since the epoch, UTC; None when it is empty."""
        return await get_oldest_timestamp(self._readers)

    async def get_summary_stats(self) -> SummaryStats:
        """The whole log in three numbers."""
        (sums,) = await self._all(_Sums, SUMMARY)
        average = (2 * sums.latency_ms + sums.requests) // (2 * sums.requests) if sums.requests else 0
        return SummaryStats(sums.requests, sums.waterfalls, int(average))

    async def get_usage(
        self,
        window: Window,
        *,
        by: GroupBy | None = None,
        where: UsageFilter = EVERYTHING,
        max_groups: int = 20,
        fill: bool = False,
    ) -> list[UsagePoint]:
        """What was used in each step of the window, in all or by group, by step and then the largest group first.

        Groups beyond the `max_groups` largest are added up. Steps without a request are left out unless `fill`.
        Raises `ValueError` for a window or a number of groups that cannot be.
        """
        return await UsageQuestion(self._readers, window, by, where, max_groups).usage(fill=fill)

    async def get_latency(
        self,
        window: Window,
        *,
        by: GroupBy | None = None,
        where: UsageFilter = EVERYTHING,
        max_groups: int = 20,
        fill: bool = False,
    ) -> list[LatencyPoint]:
        """Percentiles and rates, otherwise the same."""
        return await UsageQuestion(self._readers, window, by, where, max_groups).latency(fill=fill)

    async def get_provider_health(self, window: Window) -> list[ProviderHealth]:
        """How often each model of each provider answered, refused or failed, in the window as a whole.

        Raises `ValueError` for a window that cannot be.
        """
        return await provider_health(self._readers, window)

    async def get_names(self) -> Names:
        """What can be filtered by: at most `MAX_NAMES` of each kind."""
        chains, providers, models, callers = [
            tuple(str(name) for (name,) in await self._readers.fetch(query, (MAX_NAMES,)))
            for query in (CHAIN_NAMES, PROVIDER_NAMES, MODEL_NAMES, CALLER_NAMES)
        ]
        return Names(chains, providers, models, callers)

    async def get_metric_totals(self, max_groups: int = 100) -> Totals:
        """Everything since ever, by chain, provider and model, for counters that are scraped again and again.

        The first `max_groups` combinations that were seen are named, the others are counted together as `other`. The
        first call adds everything up, days as rollups where they are; later ones read the buckets of the last hour.
        """
        return await self._running_totals.read(max_groups)

    async def _all(self, row_type: type[T], sql: str, *parameters: object) -> list[T]:
        return [row_type(*row) for row in await self._readers.fetch(sql, parameters)]

    async def _one(self, row_type: type[T], sql: str, *parameters: object) -> T | None:
        rows = await self._all(row_type, sql, *parameters)
        return rows[0] if rows else None
