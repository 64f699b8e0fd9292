"""The reads of a request: everything, or what a key with a caller may see.

The one place that knows what can be told of a single caller. Whatever cannot is refused, and so is a new question until
somebody says here how it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import anyio
import msgspec
from starlette.requests import Request

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.errors import QueryTimeoutError
from chainlog_async.prices.model import Price
from chainlog_async.requests.cursor import MAX_PAGE
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.sessions import Session, SessionFilter, SessionPage
from chainlog_async.server.http.rights import another_caller, one_caller_only, rights_of
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.metric_totals import MetricTotals
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import MAX_GROUPS, UsageFilter, UsageQuery
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import ChainUsage, Names, ProviderUsage, SummaryStats
from chainlog_async.usage_aggregator import UsageAggregator

FUTURE_MS: Final = DAY_MS
"""How far ahead of ours the clocks of gateways may be, in ms, for their names to be listed."""


def own_reads(request: Request, chainlog: ChainLog) -> UsageAggregator:
    """Returns the reads that the key of the request is allowed."""
    caller = rights_of(request).caller
    if caller is None:
        return chainlog.usage
    settings = chainlog.settings
    own = _OwnReads(chainlog.usage, caller, timeout_ms=settings.read_timeout_ms)
    return UsageAggregator(settings.db_path, storage=own)


def own_filter(request: Request, where: RequestFilter) -> RequestFilter:
    """Returns the filter, limited to the caller of the key. Raises `ApiError` (403) when it asks for another one."""
    caller = rights_of(request).caller
    return where if caller is None else _limited(caller, where)


class _OwnReads:
    """A `ReadStorage` of one caller, over the reads of all."""

    def __init__(self, usage: UsageAggregator, caller: str, *, timeout_ms: int) -> None:
        self._usage = usage
        self._caller = caller
        self._timeout_ms = timeout_ms

    async def aclose(self) -> None:
        """Nothing: the reads are those of the log."""

    async def renew(self) -> None:
        """Nothing: the reads are those of the log."""

    async def get_all_provider_usage(self) -> list[ProviderUsage]:
        """Refused."""
        raise one_caller_only("all-time usage by provider")

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """Refused."""
        raise one_caller_only("all-time usage by provider")

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """Refused."""
        raise one_caller_only("all-time usage by chain")

    async def get_chain_usage(self, chain_name: str) -> ChainUsage | None:
        """Refused."""
        raise one_caller_only("all-time usage by chain")

    async def get_summary_stats(self) -> SummaryStats:
        """Refused."""
        raise one_caller_only("the summary")

    async def get_recent_requests(self, limit: int) -> list[RequestLogRow]:
        """The caller's newest."""
        found: list[RequestLogRow] = []
        cursor: str | None = None
        with self._deadline():
            while len(found) < limit:
                page = await self.find_requests(RequestFilter(), limit=min(limit - len(found), MAX_PAGE), cursor=cursor)
                found += page.requests
                if (cursor := page.next_cursor) is None:
                    break
        return found

    async def get_requests_after(self, after_id: int, *, limit: int) -> list[RequestLogRow]:
        """The caller's; none only when there are no more at all, because a follower would wait there."""
        with self._deadline():
            while rows := await self._usage.get_requests_after(after_id, limit=limit):
                if own := [row for row in rows if row.caller == self._caller]:
                    return own
                after_id = rows[-1].id
        return []

    async def find_requests(self, where: RequestFilter, *, limit: int, cursor: str | None) -> RequestPage:
        """The caller's."""
        return await self._usage.find_requests(_limited(self._caller, where), limit=limit, cursor=cursor)

    async def get_request(self, request_id: int) -> RequestLogRow | None:
        """Those of others do not exist."""
        row = await self._usage.get_request(request_id)
        return row if row is not None and row.caller == self._caller else None

    async def find_sessions(self, where: SessionFilter, *, limit: int, cursor: str | None) -> SessionPage:
        """The caller's part of each."""
        self._refuse_another(where.caller)
        where = msgspec.structs.replace(where, caller=self._caller)
        return await self._usage.find_sessions(where, limit=limit, cursor=cursor)

    async def get_session(self, session_id: str, *, caller: str | None) -> Session | None:
        """The caller's part of it."""
        self._refuse_another(caller)
        return await self._usage.get_session(session_id, caller=self._caller)

    async def find_request_ids(self, prefix: str, *, limit: int) -> list[str]:
        """Refused."""
        raise one_caller_only("which ids begin alike")

    async def get_newest_id(self) -> int:
        """Where a follower begins: an id of the whole log, as all are."""
        return await self._usage.get_newest_id()

    async def get_oldest_timestamp(self) -> int | None:
        """When the whole log begins, which tells nothing of anybody."""
        return await self._usage.get_oldest_timestamp()

    async def get_usage(self, query: UsageQuery) -> list[UsagePoint]:
        """The caller's."""
        return await self._usage.get_usage(self._own_query(query))

    async def get_latency(self, query: UsageQuery) -> list[LatencyPoint]:
        """The caller's."""
        return await self._usage.get_latency(self._own_query(query))

    async def get_provider_health(self, window: Window) -> list[ProviderHealth]:
        """Refused: attempts are counted without callers."""
        raise one_caller_only("the health of providers")

    async def get_prices(self, models: Sequence[tuple[str, str]], at: int) -> list[Price | None]:
        """Prices are the same for everybody."""
        return await self._usage.get_prices(models, at=at)

    async def get_names(self) -> Names:
        """Those of the caller's requests, at most `MAX_GROUPS` of each kind; keys of tags are not known by caller."""
        oldest = await self._usage.get_oldest_timestamp()
        if oldest is None:
            return Names(chains=(), providers=(), models=(), callers=())
        window = Window(start=oldest, end=max(now_ms(), oldest) + FUTURE_MS)
        return Names(
            chains=await self._names(window, "chain"),
            providers=await self._names(window, "provider"),
            models=tuple(sorted(await self._names(window, "model"))),
            callers=await self._names(window, "caller"),
        )

    async def get_metric_totals(self, max_groups: int) -> MetricTotals:
        """Refused."""
        raise one_caller_only("what /metrics counts")

    async def _names(self, window: Window, by: GroupBy) -> tuple[str, ...]:
        points = await self.get_usage(UsageQuery(window=window, by=by, max_groups=MAX_GROUPS))
        return tuple(point.name for point in points if point.name is not None and point.requests)

    def _refuse_another(self, caller: str | None) -> None:
        if caller not in (None, self._caller):
            raise another_caller(caller or "")

    def _own_query(self, query: UsageQuery) -> UsageQuery:
        _refuse_others(self._caller, query.where)
        where = msgspec.structs.replace(query.where, caller=self._caller)
        return msgspec.structs.replace(query, where=where)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        with anyio.move_on_after(self._timeout_ms / 1_000) as waiting:
            yield
        if waiting.cancelled_caught:
            raise QueryTimeoutError(
                f"the requests of one caller were not found within {self._timeout_ms} ms; ask for newer ones, or raise "
                "read_timeout_ms"
            )


def _limited(caller: str, where: RequestFilter) -> RequestFilter:
    _refuse_others(caller, where)
    return msgspec.structs.replace(where, caller=caller)


def _refuse_others(caller: str, where: RequestFilter | UsageFilter) -> None:
    if where.caller not in (None, caller):
        raise another_caller(where.caller or "")
    for one in where.names:
        if one.dimension == "caller" and not one.admits(caller):
            raise another_caller(", ".join(one.names))
