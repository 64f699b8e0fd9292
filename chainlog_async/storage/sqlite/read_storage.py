"""The reads of a SQLite file, over read-only connections of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.prices.model import Price
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.sessions import Session, SessionFilter, SessionPage
from chainlog_async.storage.base import ReadStorage
from chainlog_async.storage.sqlite.queries.metric_totals import RunningTotals
from chainlog_async.storage.sqlite.queries.provider_health import provider_health
from chainlog_async.storage.sqlite.queries.tag_usage import TAG_KEYS, TagUsageReader
from chainlog_async.storage.sqlite.queries.usage import UsageReader
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.metric_totals import MetricTotals
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import UsageQuery, refuse_latency_of_tags
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import MAX_NAMES, ChainUsage, Names, ProviderUsage, SummaryStats

from .queries import prices, requests, sessions, totals
from .reader_pool import ReaderPool

_T = TypeVar("_T")


class _Sums(msgspec.Struct):
    requests: int
    waterfalls: int
    latency_ms: float
    """An int, unless the original, whose numbers are doubles, has stored a latency with a fraction."""


class SqliteReadStorage(ReadStorage):
    """Answers from tables that triggers keep current. Connections are opened when they are first needed."""

    def __init__(
        self,
        db_path: str | Path,
        *,
        busy_timeout_ms: int,
        max_readers: int,
        read_timeout_ms: int,
        gil_yielder: GilYielder | None = None,
    ) -> None:
        self._readers = ReaderPool(
            db_path,
            busy_timeout_ms=busy_timeout_ms,
            max_readers=max_readers,
            read_timeout_ms=read_timeout_ms,
            gil_yielder=gil_yielder,
        )
        self._running_totals = RunningTotals(self._readers)

    async def aclose(self) -> None:
        """See `ReadStorage`, as for every method here."""
        await self._readers.aclose()

    async def renew(self) -> None:
        """The file at the path is another one now."""
        self._running_totals.forget()
        await self._readers.renew()

    async def get_all_provider_usage(self) -> list[ProviderUsage]:
        """From `usage_by_provider`."""
        return await self._all(ProviderUsage, totals.ALL_PROVIDERS)

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """From `usage_by_provider`."""
        return await self._one(ProviderUsage, totals.ONE_PROVIDER, provider_id)

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """From `usage_by_chain`."""
        return await self._all(ChainUsage, totals.ALL_CHAINS)

    async def get_chain_usage(self, chain_name: str) -> ChainUsage | None:
        """From `usage_by_chain`."""
        return await self._one(ChainUsage, totals.ONE_CHAIN, chain_name)

    async def get_summary_stats(self) -> SummaryStats:
        """From `usage_summary`."""
        (sums,) = await self._all(_Sums, totals.SUMMARY)
        average = (2 * sums.latency_ms + sums.requests) // (2 * sums.requests) if sums.requests else 0
        return SummaryStats(sums.requests, sums.waterfalls, int(average))

    async def get_recent_requests(self, limit: int) -> list[RequestLogRow]:
        """By the index on the timestamp."""
        return await requests.get_recent_requests(self._readers, limit)

    async def get_requests_after(self, after_id: int, *, limit: int) -> list[RequestLogRow]:
        """By id."""
        return await requests.get_requests_after(self._readers, after_id, limit=limit)

    async def find_requests(self, where: RequestFilter, *, limit: int, cursor: str | None) -> RequestPage:
        """Looks at a bounded number of rows."""
        return await requests.find_requests(self._readers, where, limit=limit, cursor=cursor)

    async def get_request(self, request_id: int) -> RequestLogRow | None:
        """By id."""
        return await requests.get_request(self._readers, request_id)

    async def find_sessions(self, where: SessionFilter, *, limit: int, cursor: str | None) -> SessionPage:
        """Looks at a bounded number of rows."""
        return await sessions.find_sessions(self._readers, where, limit=limit, cursor=cursor)

    async def get_session(self, session_id: str, *, caller: str | None) -> Session | None:
        """By the index on the session."""
        return await sessions.get_session(self._readers, session_id, caller)

    async def find_request_ids(self, prefix: str, *, limit: int) -> list[str]:
        """By the index on the request id."""
        return await requests.find_request_ids(self._readers, prefix, limit=limit)

    async def get_newest_id(self) -> int:
        """By id."""
        return await requests.get_newest_id(self._readers)

    async def get_oldest_timestamp(self) -> int | None:
        """By the index on the timestamp."""
        return await requests.get_oldest_timestamp(self._readers)

    async def get_usage(self, query: UsageQuery) -> list[UsagePoint]:
        """From rollups, and buckets where there are none yet."""
        reader = TagUsageReader if query.is_about_tags else UsageReader
        return await reader(self._readers, query).usage()

    async def get_latency(self, query: UsageQuery) -> list[LatencyPoint]:
        """From rollups, and buckets where there are none yet."""
        refuse_latency_of_tags(query.by, query.where)
        return await UsageReader(self._readers, query).latency()

    async def get_provider_health(self, window: Window) -> list[ProviderHealth]:
        """From attempts by day, and by quarter of an hour where there are none yet."""
        return await provider_health(self._readers, window)

    async def get_prices(self, models: Sequence[tuple[str, str]], at: int) -> list[Price | None]:
        """By the key of the table of prices."""
        return await prices.get_prices(self._readers, models, at)

    async def get_names(self) -> Names:
        """From totals and rollups, and buckets where there are none."""
        return Names(
            chains=await self._names(totals.CHAIN_NAMES),
            providers=await self._names(totals.PROVIDER_NAMES),
            models=await self._names(totals.MODEL_NAMES, "model"),
            callers=await self._names(totals.CALLER_NAMES, "caller"),
            tag_keys=await self._names(TAG_KEYS),
        )

    async def get_metric_totals(self, max_groups: int) -> MetricTotals:
        """From sums that are remembered, and the buckets of the last hour."""
        return await self._running_totals.read(max_groups)

    async def _names(self, sql: str, dimension: GroupBy | None = None) -> tuple[str, ...]:
        rows = await self._readers.fetch(sql, {"limit": MAX_NAMES, "dimension": dimension})
        return tuple(str(name) for (name,) in rows)

    async def _all(self, row_type: type[_T], sql: str, *parameters: object) -> list[_T]:
        return [row_type(*row) for row in await self._readers.fetch(sql, parameters)]

    async def _one(self, row_type: type[_T], sql: str, *parameters: object) -> _T | None:
        rows = await self._all(row_type, sql, *parameters)
        return rows[0] if rows else None
