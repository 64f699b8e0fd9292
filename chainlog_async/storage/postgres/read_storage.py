"""The reads of a PostgreSQL database, of the primary or of a replica."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from chainlog_async.errors import SettingsError
from chainlog_async.prices.model import Price
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.sessions import Session, SessionFilter, SessionPage
from chainlog_async.storage.base import ReadStorage
from chainlog_async.usage.metric_totals import MetricTotals
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import UsageQuery, refuse_latency_of_tags
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import MAX_NAMES, ChainUsage, Names, ProviderUsage, SummaryStats

from .queries import prices, requests, sessions, totals
from .queries.metric_totals import RunningTotals
from .queries.provider_health import provider_health
from .queries.tag_usage import TAG_KEYS, TagUsageReader
from .queries.unfolded import unfolded_bounds
from .queries.usage import UsageReader
from .reader_pool import Parameters, ReaderPool, Row, Snapshot
from .url import parse_url

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

_T = TypeVar("_T")


class PostgresReadStorage(ReadStorage):
    """Answers from totals, buckets and rollups, and from the batches that are not folded into them yet."""

    def __init__(self, url: str, *, max_readers: int, read_timeout_ms: int) -> None:
        """`url` is that of the primary, or of a replica. Raises `SettingsError`."""
        self._readers = ReaderPool(parse_url(url), max_readers=max_readers, read_timeout_ms=read_timeout_ms)
        self._metric_totals = RunningTotals(self._readers)

    async def aclose(self) -> None:
        """See `ReadStorage`, as for every method here."""
        await self._readers.aclose()

    async def renew(self) -> None:
        """Connects again for the next question."""
        await self._readers.renew()

    async def get_all_provider_usage(self) -> list[ProviderUsage]:
        """From `provider_totals`."""
        return await self._all(ProviderUsage, totals.ALL_PROVIDERS)

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """From `provider_totals`."""
        return await self._one(ProviderUsage, totals.ONE_PROVIDER, provider_id)

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """From `chain_totals`."""
        return await self._all(ChainUsage, totals.ALL_CHAINS)

    async def get_chain_usage(self, chain_name: str) -> ChainUsage | None:
        """From `chain_totals`."""
        return await self._one(ChainUsage, totals.ONE_CHAIN, chain_name)

    async def get_summary_stats(self) -> SummaryStats:
        """From `summary_totals`."""
        ((count, waterfalls, latency_ms),) = msgspec.convert(
            await self._totals(totals.SUMMARY), list[tuple[int, int, int]]
        )
        average = (2 * latency_ms + count) // (2 * count) if count else 0
        return SummaryStats(count, waterfalls, average)

    async def get_recent_requests(self, limit: int) -> list[RequestLogRow]:
        """By the primary key."""
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
        """By the primary key."""
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
        """From totals, and the groups that usage was ever folded into."""
        async with self._readers.snapshot() as snapshot:
            parameters = {**await unfolded_bounds(snapshot), "limit": MAX_NAMES}
            return Names(
                chains=await _names(snapshot, totals.CHAIN_NAMES, parameters),
                providers=await _names(snapshot, totals.PROVIDER_NAMES, parameters),
                models=await _names(snapshot, totals.MODEL_NAMES, parameters),
                callers=await _names(snapshot, totals.CALLER_NAMES, parameters),
                tag_keys=await _names(snapshot, TAG_KEYS, parameters),
            )

    async def get_metric_totals(self, max_groups: int) -> MetricTotals:
        """From totals of their own."""
        return await self._metric_totals.read(max_groups)

    async def _all(self, row_type: type[_T], sql: str, **parameters: object) -> list[_T]:
        return [row_type(*row) for row in await self._totals(sql, **parameters)]

    async def _one(self, row_type: type[_T], sql: str, name: str) -> _T | None:
        # No text in PostgreSQL contains a NUL.
        rows = [] if "\0" in name else await self._all(row_type, sql, name=name)
        return rows[0] if rows else None

    async def _totals(self, sql: str, **parameters: object) -> list[Row]:
        async with self._readers.snapshot() as snapshot:
            return await snapshot.fetch(sql, {**parameters, **await unfolded_bounds(snapshot)})


def open_reads(settings: Settings) -> PostgresReadStorage:
    """The reads of the replica that the settings name, or else of the database. Opens nothing yet.

    Raises `SettingsError`.
    """
    url = settings.read_url or settings.db_url
    if url is None:
        raise SettingsError("db_url is not set; give the postgresql:// URL of the log")
    return PostgresReadStorage(
        url.get_secret_value(), max_readers=settings.max_readers, read_timeout_ms=settings.read_timeout_ms
    )


async def _names(snapshot: Snapshot, sql: str, parameters: Parameters) -> tuple[str, ...]:
    return tuple(str(name) for (name,) in await snapshot.fetch(sql, parameters))
