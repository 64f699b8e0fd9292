"""Usage by provider, chain, model and caller: reads whose cost does not grow with the log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import now_ms
from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.common.periods import period_of
from chainlog_async.prices.model import Price
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.sessions import EVERY_SESSION, Session, SessionFilter, SessionPage
from chainlog_async.storage.base import ReadStorage
from chainlog_async.storage.engines import open_reads, reads_of
from chainlog_async.usage.budget import BudgetStatus
from chainlog_async.usage.cache_savings import CacheSavings, savings_of
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.metric_totals import MetricTotals
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import EVERYTHING, MAX_GROUPS, UsageFilter, UsageQuery
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import ChainUsage, Names, ProviderUsage, SummaryStats

if TYPE_CHECKING:
    from .settings import BudgetSettings, Settings


class UsageAggregator:
    """Answers from tables that are kept current by the writes, over read-only connections.

    Connections are opened when they are first needed; close them with `aclose` or ``async with``. Every method raises
    `DatabaseError` when the database cannot be read (`DatabaseMissingError`, `OlderDatabaseError` and so on),
    `QueryTimeoutError` after `read_timeout_ms`, and `ClosedError` after `aclose`. Times are in ms since the epoch, UTC.
    """

    def __init__(
        self,
        db_path: str | Path,
        *,
        busy_timeout_ms: int = 5_000,
        max_readers: int = 4,
        read_timeout_ms: int = 30_000,
        storage: ReadStorage | None = None,
    ) -> None:
        """`max_readers` connections at most are open at once. `storage` overrides what `db_path` names."""
        self._storage = storage or open_reads(
            db_path, busy_timeout_ms=busy_timeout_ms, max_readers=max_readers, read_timeout_ms=read_timeout_ms
        )

    @classmethod
    def from_settings(cls, settings: Settings, *, gil_yielder: GilYielder | None = None) -> Self:
        """The reads of the log that `db_url` or `db_path` names. Raises `SettingsError` for an unknown engine.

        With a `gil_yielder`, a saturated event loop pauses for a read as it does for the writer's thread.
        """
        return cls(settings.db_path, storage=reads_of(settings, gil_yielder=gil_yielder))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections. A query that is running ends first."""
        await self._storage.aclose()

    async def renew(self) -> None:
        """Lets go of the open connections, because the file at the path is another one now."""
        await self._storage.renew()

    async def get_all_provider_usage(self) -> list[ProviderUsage]:
        """All-time totals of every provider, last used first."""
        return await self._storage.get_all_provider_usage()

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """All-time totals of one provider, or None when nothing was ever logged for it."""
        return await self._storage.get_provider_usage(provider_id)

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """All-time totals of every chain, last used first."""
        return await self._storage.get_all_chain_usage()

    async def get_chain_usage(self, chain_name: str) -> ChainUsage | None:
        """All-time totals of one chain, or None when nothing was ever logged for it."""
        return await self._storage.get_chain_usage(chain_name)

    async def get_summary_stats(self) -> SummaryStats:
        """All-time requests, requests with more than one attempt, and mean latency."""
        return await self._storage.get_summary_stats()

    async def get_recent_requests(self, limit: int = 50, *, after_id: int | None = None) -> list[RequestLogRow]:
        """The newest requests, newest first; within one millisecond the one stored last comes first.

        With `after_id`, the first `limit` requests stored after that one, in the order they were stored: what a
        follower asks for again and again. Raises `ValueError` when `limit` is below 1.
        """
        if limit < 1:
            raise ValueError(f"limit is {limit}; give 1 or more")
        if after_id is None:
            return await self._storage.get_recent_requests(limit)
        return await self._storage.get_requests_after(after_id, limit=limit)

    async def find_requests(self, where: RequestFilter, *, limit: int = 50, cursor: str | None = None) -> RequestPage:
        """One page of the requests that match, newest first; within one millisecond the one stored last comes first.

        `cursor` is the `next_cursor` of the page before. A page reads a bounded number of rows, however large the log
        is and however few rows match, so it may be short or empty and still have a `next_cursor`. Raises `ValueError`
        when `limit` is outside 1 to 500 or `cursor` is malformed.
        """
        return await self._storage.find_requests(where, limit=limit, cursor=cursor)

    async def get_request(self, request_id: int) -> RequestLogRow | None:
        """One request by its id in this database; None when there is none."""
        return await self._storage.get_request(request_id)

    async def get_requests_after(self, after_id: int, *, limit: int = 500) -> list[RequestLogRow]:
        """The first `limit` requests stored after the one with that id, in the order they were stored."""
        return await self._storage.get_requests_after(after_id, limit=limit)

    async def find_sessions(
        self, where: SessionFilter = EVERY_SESSION, *, limit: int = 50, cursor: str | None = None
    ) -> SessionPage:
        """One page of the sessions that match, the one with the newest request first.

        `cursor` is the `next_cursor` of the page before. A page examines at most 10,000 requests that have a session,
        and adds up at most `MAX_COUNTED` of each session, so it may be short and still have a `next_cursor`. Raises
        `ValueError` when `limit` is outside 1 to 100 or `cursor` is malformed.
        """
        return await self._storage.find_sessions(where, limit=limit, cursor=cursor)

    async def get_session(self, session_id: str, *, caller: str | None = None) -> Session | None:
        """One session, or with `caller` what of it is of that caller; None when there is none of that id.

        `find_requests` with its `session_id` has its requests.
        """
        return await self._storage.get_session(session_id, caller=caller)

    async def find_request_ids(self, prefix: str, *, limit: int = 10) -> list[str]:
        """The first `limit` of the gateway's own request ids that begin with `prefix`, sorted, each once."""
        return await self._storage.find_request_ids(prefix, limit=limit)

    async def get_newest_id(self) -> int:
        """The id of the request that was stored last, or 0: where a follower begins."""
        return await self._storage.get_newest_id()

    async def get_oldest_timestamp(self) -> int | None:
        """The earliest timestamp in the log; None when it is empty."""
        return await self._storage.get_oldest_timestamp()

    async def get_usage(self, query: UsageQuery) -> list[UsagePoint]:
        """Requests, tokens and cost in each step of the query's window: by step, then the largest group first.

        By tag, and of one tag, it is counted by the hour (UTC): the window is widened to whole hours. A request counts
        under each of its tags, and by ``tag:KEY`` only those are counted that have one.

        Raises `ValueError` for a window that is empty, too long for its step, or in an unknown time zone, and for a tag
        that is counted as ``(others)``.
        """
        return await self._storage.get_usage(query)

    async def get_budget(self, budget: BudgetSettings, *, at: int | None = None) -> BudgetStatus:
        """What is spent and left of a budget in the period that contains the time `at`, by default now.

        It costs the same in a log of any size: it reads the sums of at most a month. The caller, provider, model and
        chain of the budget are those that usage is filtered by.
        """
        start, end = await run_in_thread(period_of, budget.per, budget.zone, now_ms() if at is None else at)
        where = UsageFilter(chain=budget.chain, provider=budget.provider, model=budget.model, caller=budget.caller)
        points = await self.get_usage(UsageQuery(window=Window(start=start, end=end), where=where))
        spent = points[0].cost_usd if points else 0.0
        return BudgetStatus(
            name=budget.name,
            limit_usd=budget.limit_usd,
            spent_usd=spent,
            # Costs are whole nano-dollars.
            left_usd=max(round(budget.limit_usd - spent, 9), 0.0),
            per=budget.per,
            zone=budget.zone,
            starts_at=start,
            resets_at=end,
        )

    async def get_latency(self, query: UsageQuery) -> list[LatencyPoint]:
        """Percentiles of latency and time to first token, and rates: by step, then the largest group first.

        Percentiles are within 5 % of the true ones. Raises `ValueError` like `get_usage`, and for tags.
        """
        return await self._storage.get_latency(query)

    async def get_provider_health(self, window: Window) -> list[ProviderHealth]:
        """How many attempts of each model of each provider succeeded, were refused or failed in the window.

        The window's `step` plays no part. Raises `ValueError` for a window that is empty.
        """
        return await self._storage.get_provider_health(window)

    async def get_prices(self, models: Sequence[tuple[str, str]], *, at: int | None = None) -> list[Price | None]:
        """What models cost, each given as a provider and a model, at the time `at`, by default now.

        These are the prices without a service tier, for prompts of any size; None where there is none.
        """
        return await self._storage.get_prices(models, now_ms() if at is None else at)

    async def get_cache_savings(self, window: Window, where: UsageFilter = EVERYTHING) -> CacheSavings:
        """What the providers' caches saved in a window, by the prices at its end, or now if it ends later.

        The window's `step` plays no part. Raises `ValueError` like `get_usage`.
        """
        window = msgspec.structs.replace(window, step=None)
        points = []
        for provider in await self._users_of_caches(window, "provider", where):
            of_provider = msgspec.structs.replace(where, provider=provider.name)
            models = [provider] if provider.other else await self._users_of_caches(window, "model", of_provider)
            points += [(provider.name or "", model) for model in models]
        names = [(provider, model.name or "") for provider, model in points]
        prices = await self.get_prices(names, at=min(window.end, now_ms()))
        # The groups beyond `MAX_GROUPS` have no name to look up.
        known = [None if model.other else price for (_, model), price in zip(points, prices, strict=True)]
        return savings_of(zip([model for _, model in points], known, strict=True))

    async def _users_of_caches(self, window: Window, by: GroupBy, where: UsageFilter) -> list[UsagePoint]:
        query = UsageQuery(window=window, by=by, where=where, max_groups=MAX_GROUPS)
        return [point for point in await self.get_usage(query) if point.cached_tokens or point.cache_write_tokens]

    async def get_names(self) -> Names:
        """The names that requests can be filtered by, at most 1,000 of each kind."""
        return await self._storage.get_names()

    async def get_metric_totals(self, max_groups: int = 100) -> MetricTotals:
        """All-time totals by chain, provider and model, for counters that are scraped again and again.

        The first `max_groups` combinations that were seen are named, the others are counted together as `other`. The
        first call adds everything up; later ones read the buckets of the last hour.
        """
        return await self._storage.get_metric_totals(max_groups)
