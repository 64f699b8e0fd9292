"""Reads of the engine that keeps everything in a list: an oracle for real engines.

Every question is answered from the rows alone, in the most obvious way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import TypeVar

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import HOUR_MS, QUARTER_MS
from chainlog_async.common.name_sets import NAME_COLUMNS
from chainlog_async.common.outcome import CANCELLED_STATUS
from chainlog_async.prices.model import Price
from chainlog_async.requests.cursor import MAX_PAGE, position_of
from chainlog_async.requests.filter import RequestFilter, matches
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.sessions import MAX_SESSIONS, Session, SessionFilter, SessionPage
from chainlog_async.storage.base import ReadStorage
from chainlog_async.usage.metric_totals import MetricTotals, attempt_totals, usage_totals
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import UsageQuery, refuse_latency_of_tags
from chainlog_async.usage.sums import NANO
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import ChainUsage, Names, ProviderUsage, SummaryStats

from .memory_storage import MemoryDatabase
from .memory_sums import (
    attempts_of,
    bins_of,
    classes_of,
    ended,
    mean,
    nano_of,
    outcomes_of,
    per_second,
    percentiles_of,
    status_of,
    sums_of,
    totals_of,
    ttfts_of,
    unanswered_nano_of,
)

_K = TypeVar("_K")
_T = TypeVar("_T")


class MemoryReads(ReadStorage):
    """Answers by looking at every row."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def renew(self) -> None:
        """There is nothing to open."""

    async def get_all_provider_usage(self) -> list[ProviderUsage]:
        """By provider."""
        grouped = _grouped(self._database.rows, lambda row: row.provider_id)
        usage = [ProviderUsage(name, *totals_of(rows)) for name, rows in grouped.items()]
        return sorted(usage, key=lambda one: (-one.last_request_timestamp, one.provider_id))

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """One of them."""
        return next((one for one in await self.get_all_provider_usage() if one.provider_id == provider_id), None)

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """By chain."""
        grouped = _grouped(self._database.rows, lambda row: row.chain_name)
        usage = [ChainUsage(name, *totals_of(rows)) for name, rows in grouped.items()]
        return sorted(usage, key=lambda one: (-one.last_request_timestamp, one.chain_name))

    async def get_chain_usage(self, chain_name: str) -> ChainUsage | None:
        """One of them."""
        return next((one for one in await self.get_all_chain_usage() if one.chain_name == chain_name), None)

    async def get_summary_stats(self) -> SummaryStats:
        """Three numbers."""
        rows = self._database.rows
        average = (2 * sum(row.latency_ms for row in rows) + len(rows)) // (2 * len(rows)) if rows else 0
        return SummaryStats(len(rows), sum(row.attempts > 1 for row in rows), average)

    async def get_recent_requests(self, limit: int) -> list[RequestLogRow]:
        """Newest first."""
        return self._newest_first()[:limit]

    async def get_requests_after(self, after_id: int, *, limit: int) -> list[RequestLogRow]:
        """In the order they were stored."""
        return [row for row in self._database.rows if row.id > after_id][:limit]

    async def find_requests(self, where: RequestFilter, *, limit: int, cursor: str | None) -> RequestPage:
        """Whole pages, for there is no budget."""
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit is {limit}")
        rows = [row for row in self._newest_first() if matches(row, where)]
        if cursor is not None:
            place = position_of(cursor)
            rows = [row for row in rows if (row.timestamp, row.id) < place]
        page = rows[:limit]
        more = len(rows) > limit
        return RequestPage(page, f"{page[-1].timestamp}_{page[-1].id}" if more else None, None)

    async def get_request(self, request_id: int) -> RequestLogRow | None:
        """By id."""
        return next((row for row in self._database.rows if row.id == request_id), None)

    async def find_sessions(self, where: SessionFilter, *, limit: int, cursor: str | None) -> SessionPage:
        """Whole pages."""
        if not 1 <= limit <= MAX_SESSIONS:
            raise ValueError(f"limit is {limit}")
        rows = [row for row in self._newest_first() if row.session_id and where.caller in (None, row.caller)]
        newest = {row.session_id: row for row in reversed(rows)}
        found = sorted(newest.values(), key=lambda row: (row.timestamp, row.id), reverse=True)
        found = [row for row in found if matches(row, where.as_request_filter())]
        if cursor is not None:
            found = [row for row in found if (row.timestamp, row.id) < position_of(cursor)]
        page, more = found[:limit], len(found) > limit
        sessions = [await self.get_session(row.session_id or "", caller=where.caller) for row in page]
        last = f"{page[-1].timestamp}_{page[-1].id}" if more else None
        return SessionPage([one for one in sessions if one is not None], last, None)

    async def get_session(self, session_id: str, *, caller: str | None) -> Session | None:
        """The sums of its rows."""
        rows = [row for row in self._newest_first() if row.session_id == session_id and caller in (None, row.caller)]
        if not rows:
            return None
        prompts, cached = sum(row.prompt_tokens for row in rows), sum(row.cached_tokens or 0 for row in rows)
        return Session(
            session_id=session_id,
            caller=rows[0].caller,
            requests=len(rows),
            errors=sum(ended(row, "failed") for row in rows),
            prompt_tokens=prompts,
            completion_tokens=sum(row.completion_tokens for row in rows),
            cached_tokens=cached,
            total_tokens=sum(row.total_tokens for row in rows),
            cost_usd=nano_of(rows) / NANO,
            cached_share=cached / prompts if prompts else None,
            latency_ms=sum(row.latency_ms for row in rows),
            first_at=rows[-1].timestamp,
            last_at=rows[0].timestamp,
            models=tuple(sorted({row.model for row in rows})),
        )

    async def find_request_ids(self, prefix: str, *, limit: int) -> list[str]:
        """Sorted."""
        ids = {row.request_id for row in self._database.rows if row.request_id is not None}
        return sorted(one for one in ids if one.startswith(prefix))[:limit]

    async def get_newest_id(self) -> int:
        """The last one's."""
        return max((row.id for row in self._database.rows), default=0)

    async def get_oldest_timestamp(self) -> int | None:
        """The smallest."""
        return min((row.timestamp for row in self._database.rows), default=None)

    async def get_usage(self, query: UsageQuery) -> list[UsagePoint]:
        """By step and group."""
        return [
            UsagePoint(
                start=start,
                end=end,
                name=name,
                other=other,
                requests=len(rows),
                errors=sum(ended(row, "failed") for row in rows),
                cancelled=sum(ended(row, "cancelled") for row in rows),
                rate_limited=sum(row.http_status == 429 for row in rows),
                waterfalls=sum(row.attempts > 1 for row in rows),
                prompt_tokens=sum(row.prompt_tokens for row in rows),
                completion_tokens=sum(row.completion_tokens for row in rows),
                **classes_of(rows),
                total_tokens=sum(row.total_tokens for row in rows),
                cost_usd=nano_of(rows) / NANO,
                unanswered_cost_usd=unanswered_nano_of(rows) / NANO,
                avg_latency_ms=mean([row.latency_ms for row in rows if ended(row, "answered")]),
                avg_ttft_ms=mean(ttfts_of(row for row in rows if ended(row, "answered"))),
            )
            for start, end, name, other, rows in await self._steps(query)
        ]

    async def get_latency(self, query: UsageQuery) -> list[LatencyPoint]:
        """By step and group."""
        refuse_latency_of_tags(query.by, query.where)
        return [
            LatencyPoint(
                start=start,
                end=end,
                name=name,
                other=other,
                requests=len(rows),
                error_rate=mean([ended(row, "failed") for row in rows]) or 0.0,
                cancelled_rate=mean([ended(row, "cancelled") for row in rows]) or 0.0,
                rate_limited_rate=mean([row.http_status == 429 for row in rows]) or 0.0,
                tokens_per_second=per_second(rows),
                latency_ms=percentiles_of(row.latency_ms for row in rows if _is_asked(row, query)),
                ttft_ms=percentiles_of(ttfts_of(row for row in rows if _is_asked(row, query))),
                latency_bins=bins_of(row.latency_ms for row in rows if _is_asked(row, query))
                if query.with_bins
                else None,
            )
            for start, end, name, other, rows in await self._steps(query)
        ]

    async def get_provider_health(self, window: Window) -> list[ProviderHealth]:
        """By provider and model of every attempt."""
        edges = await run_in_thread(window.edges)
        tries = attempts_of(row for row in self._database.rows if edges[0] <= _quarter(row) < edges[-1])
        health = []
        for (provider, model), outcomes in tries.items():
            errors = [one for one in outcomes if status_of(one) >= 400 and status_of(one) != CANCELLED_STATUS]
            # Of two errors in one millisecond, the one that was stored later.
            last = max(reversed(errors), key=lambda one: one[0], default=None)
            counts = outcomes_of(outcomes)
            health.append(
                ProviderHealth(
                    provider_id=provider,
                    model=model,
                    attempts=counts[0],
                    successes=counts[1],
                    rate_limited=counts[2],
                    failures=counts[3],
                    cancelled=counts[0] - counts[1] - counts[2] - counts[3],
                    refusal_rate=counts[2] / counts[0],
                    failure_rate=counts[3] / counts[0],
                    last_error=None if last is None or last[2] is None else last[2][:500],
                    last_error_status=None if last is None else last[1],
                    last_error_at=None if last is None else last[0],
                )
            )
        return sorted(health, key=lambda one: (-one.attempts, one.provider_id, one.model))

    async def get_prices(self, models: Sequence[tuple[str, str]], at: int) -> list[Price | None]:
        """It has no table of prices."""
        del at
        return [None for _ in models]

    async def get_names(self) -> Names:
        """Chains and providers by use, models and callers by the alphabet."""
        rows = self._database.rows

        def by_use(names: Iterable[str]) -> tuple[str, ...]:
            counts: dict[str, int] = defaultdict(int)
            for name in names:
                counts[name] += 1
            return tuple(sorted(counts, key=lambda name: (-counts[name], name)))

        return Names(
            by_use(row.chain_name for row in rows),
            by_use(row.provider_id for row in rows),
            tuple(sorted({row.model for row in rows})),
            tuple(sorted({row.caller for row in rows if row.caller})),
            tuple(sorted({tag.partition(":")[0] for row in rows for tag in row.tags or ()})),
        )

    async def get_metric_totals(self, max_groups: int) -> MetricTotals:
        """For fewer groups than `max_groups`."""
        groups = _grouped(self._database.rows, lambda row: (row.chain_name, row.provider_id, row.model))
        tries = attempts_of(self._database.rows)
        return MetricTotals(
            usage=tuple(usage_totals(key, sums_of(rows)) for key, rows in groups.items()),
            attempts=tuple(attempt_totals(key, outcomes_of(outcomes)) for key, outcomes in tries.items()),
        )

    def _newest_first(self) -> list[RequestLogRow]:
        return sorted(self._database.rows, key=lambda row: (row.timestamp, row.id), reverse=True)

    async def _steps(self, query: UsageQuery) -> list[tuple[int, int, str | None, bool, list[RequestLogRow]]]:
        edges = await run_in_thread(query.edges)
        width = HOUR_MS if query.is_about_tags else QUARTER_MS
        rows = [
            (row.timestamp // width * width, row, name)
            for row in self._database.rows
            if edges[0] <= row.timestamp // width * width < edges[-1] and _passes(row, query)
            for name in _names(row, query)
        ]
        groups = _grouped(rows, lambda one: one[2])
        named = sorted(groups, key=lambda name: (-len(groups[name]), name))[: query.max_groups] if query.by else [""]
        has_others = len(groups) > len(named)
        steps: list[tuple[int, int, str | None, bool, list[RequestLogRow]]] = []
        for start, end in pairwise(edges):
            of_step = _grouped((one for one in rows if start <= one[0] < end), lambda one: one[2])
            within = {name: [row for _, row, _ in several] for name, several in of_step.items()}
            steps += [
                (start, end, name if query.by else None, False, within.get(name, []))
                for name in named
                if query.fill or name in within
            ]
            others = list(chain.from_iterable(group for name, group in within.items() if name not in named))
            if has_others and (query.fill or others):
                steps.append((start, end, None, True, others))
        return steps


def _grouped(rows: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    groups: dict[_K, list[_T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _quarter(row: RequestLogRow) -> int:
    return row.timestamp // QUARTER_MS * QUARTER_MS


def _names(row: RequestLogRow, query: UsageQuery) -> list[str]:
    """The groups that a request is in: one, or one for each tag of the key."""
    names = {"chain": row.chain_name, "provider": row.provider_id, "model": row.model, "caller": row.caller or ""}
    if query.by is None or query.name_dimension:
        return [names[query.by] if query.by else ""]
    tags = {tag for tag in row.tags or () if query.where.tag in (None, tag)}
    return sorted(value for key, _, value in (tag.partition(":") for tag in tags) if key == query.tag_key)


def _passes(row: RequestLogRow, query: UsageQuery) -> bool:
    where = query.where
    return (
        where.chain in (None, row.chain_name)
        and where.provider in (None, row.provider_id)
        and where.model in (None, row.model)
        and where.caller in (None, row.caller or "")
        and (where.tag is None or where.tag in (row.tags or ()))
        and all(one.admits(getattr(row, NAME_COLUMNS[one.dimension])) for one in where.names)
    )


def _is_asked(row: RequestLogRow, query: UsageQuery) -> bool:
    return query.durations_of == "all" or ended(row, "answered") == (query.durations_of == "answered")
