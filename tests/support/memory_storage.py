"""A storage engine of two screens that keeps everything in a list: the seam's proof, and an oracle for real engines.

Every question is answered from the rows alone, in the most obvious way.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import TypeVar

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import QUARTER_MS
from chainlog_async.common.outcome import CANCELLED_STATUS, Outcome, attempt_status, outcome_of
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.model import ENTRY_FIELDS, LATER_FIELDS, TOKEN_CLASSES
from chainlog_async.requests.cursor import MAX_PAGE, position_of
from chainlog_async.requests.filter import RequestFilter, matches
from chainlog_async.requests.model import LoggedAttempt, RequestLogRow, RequestPage
from chainlog_async.storage.base import BatchStorage, IgnoredEvents, ReadStorage, StorageEvents, StorageFault
from chainlog_async.usage.metric_totals import BOUNDS_MS, MetricTotals, attempt_totals, usage_totals
from chainlog_async.usage.percentiles import UPPERS, Percentiles, percentiles
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.sums import NANO
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import ChainUsage, Names, ProviderUsage, SummaryStats

_K = TypeVar("_K")


class RefusedRowError(Exception):
    """The engine's word for a row that it does not take."""


class MemoryDatabase:
    """What several storages and reads may share."""

    def __init__(self) -> None:
        self.rows: list[RequestLogRow] = []
        self.positions: dict[str, int] = {}
        self.rejected: list[tuple[Batch, str]] = []
        self.refused_models: set[str] = set()


class MemoryStorage(BatchStorage):
    """Batches go into a list."""

    def __init__(self, database: MemoryDatabase, path: Path) -> None:
        self.database = database
        self._path = path
        self._events: StorageEvents = IgnoredEvents()

    @property
    def is_stuck(self) -> bool:
        """Never."""
        return False

    @property
    def notes(self) -> tuple[str, ...]:
        """One."""
        return ("everything is lost with the process",)

    @property
    def damage_remedy(self) -> str:
        """Memory is not damaged."""
        return "buy another computer"

    def report_to(self, events: StorageEvents, on_reopen: Callable[[], Awaitable[None]]) -> None:
        """There is nothing to report but the size."""
        self._events = events

    async def start(self) -> Path:
        """Where the journal is."""
        return self._path

    async def commit(self, batch: Batch) -> None:
        """All rows or none."""
        position = self.database.positions.get(batch.writer_id, 0)
        if batch.end <= position:
            return
        rows = [_row(line, len(self.database.rows) + number) for number, line in enumerate(batch.lines.splitlines(), 1)]
        if batch.start < position or any(row.model in self.database.refused_models for row in rows):
            raise RefusedRowError("a row is refused")
        self.database.rows += rows
        self.database.positions[batch.writer_id] = batch.end

    async def reject(self, row: Batch, error: Exception) -> None:
        """Kept apart."""
        self.database.rejected.append((row, self.describe(error)))
        self.database.positions[row.writer_id] = row.end

    async def position(self, writer_id: str) -> int:
        """How far."""
        return self.database.positions.get(writer_id, 0)

    async def forget(self, writer_id: str) -> None:
        """Gone."""
        self.database.positions.pop(writer_id, None)

    async def interrupt(self, batch: Batch) -> int | None:
        """Nothing ever runs."""
        return await self.position(batch.writer_id)

    async def wait_until_idle(self) -> bool:
        """It is."""
        return True

    def classify(self, error: BaseException, batch: Batch | None = None) -> StorageFault:
        """The one error that it has."""
        return StorageFault.ROW if isinstance(error, RefusedRowError) else StorageFault.OTHER

    def describe(self, error: BaseException) -> str:
        """With its class."""
        return f"{error} ({type(error).__name__})"

    async def recover(self, fault: StorageFault) -> None:
        """There is nothing to do."""

    async def maintain(self, *, is_behind: bool) -> float:
        """There is nothing to do."""
        self._events.note_size(sum(len(row.model) for row in self.database.rows))
        return 1.0

    async def check_after_crash(self) -> None:
        """There is nothing to check."""

    async def aclose(self) -> None:
        """There is nothing to close."""


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
        usage = [ProviderUsage(name, *_totals(rows)) for name, rows in grouped.items()]
        return sorted(usage, key=lambda one: (-one.last_request_timestamp, one.provider_id))

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """One of them."""
        return next((one for one in await self.get_all_provider_usage() if one.provider_id == provider_id), None)

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """By chain."""
        grouped = _grouped(self._database.rows, lambda row: row.chain_name)
        usage = [ChainUsage(name, *_totals(rows)) for name, rows in grouped.items()]
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
                errors=sum(_ended(row, "failed") for row in rows),
                cancelled=sum(_ended(row, "cancelled") for row in rows),
                rate_limited=sum(row.http_status == 429 for row in rows),
                waterfalls=sum(row.attempts > 1 for row in rows),
                prompt_tokens=sum(row.prompt_tokens for row in rows),
                completion_tokens=sum(row.completion_tokens for row in rows),
                **_classes(rows),
                total_tokens=sum(row.total_tokens for row in rows),
                cost_usd=_nano(rows) / NANO,
                unanswered_cost_usd=_unanswered_nano(rows) / NANO,
                avg_latency_ms=_mean([row.latency_ms for row in rows if _ended(row, "answered")]),
                avg_ttft_ms=_mean(_ttfts(row for row in rows if _ended(row, "answered"))),
            )
            for start, end, name, other, rows in await self._steps(query)
        ]

    async def get_latency(self, query: UsageQuery) -> list[LatencyPoint]:
        """By step and group."""
        return [
            LatencyPoint(
                start=start,
                end=end,
                name=name,
                other=other,
                requests=len(rows),
                error_rate=_mean([_ended(row, "failed") for row in rows]) or 0.0,
                cancelled_rate=_mean([_ended(row, "cancelled") for row in rows]) or 0.0,
                rate_limited_rate=_mean([row.http_status == 429 for row in rows]) or 0.0,
                tokens_per_second=_per_second(rows),
                latency_ms=_percentiles(row.latency_ms for row in rows if _is_asked(row, query)),
                ttft_ms=_percentiles(_ttfts(row for row in rows if _is_asked(row, query))),
            )
            for start, end, name, other, rows in await self._steps(query)
        ]

    async def get_provider_health(self, window: Window) -> list[ProviderHealth]:
        """By provider and model of every attempt."""
        edges = await run_in_thread(window.edges)
        tries = _attempts(row for row in self._database.rows if edges[0] <= _quarter(row) < edges[-1])
        health = []
        for (provider, model), outcomes in tries.items():
            errors = [one for one in outcomes if _status(one) >= 400 and _status(one) != CANCELLED_STATUS]
            # Of two errors in one millisecond, the one that was stored later.
            last = max(reversed(errors), key=lambda one: one[0], default=None)
            counts = _outcomes(outcomes)
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
        )

    async def get_metric_totals(self, max_groups: int) -> MetricTotals:
        """For fewer groups than `max_groups`."""
        groups = _grouped(self._database.rows, lambda row: (row.chain_name, row.provider_id, row.model))
        tries = _attempts(self._database.rows)
        return MetricTotals(
            usage=tuple(usage_totals(key, _sums(rows)) for key, rows in groups.items()),
            attempts=tuple(attempt_totals(key, _outcomes(outcomes)) for key, outcomes in tries.items()),
        )

    def _newest_first(self) -> list[RequestLogRow]:
        return sorted(self._database.rows, key=lambda row: (row.timestamp, row.id), reverse=True)

    async def _steps(self, query: UsageQuery) -> list[tuple[int, int, str | None, bool, list[RequestLogRow]]]:
        edges = await run_in_thread(query.window.edges)
        rows = [row for row in self._database.rows if edges[0] <= _quarter(row) < edges[-1] and _passes(row, query)]
        groups = _grouped(rows, lambda row: _name(row, query))
        named = sorted(groups, key=lambda name: (-len(groups[name]), name))[: query.max_groups] if query.by else [""]
        has_others = len(groups) > len(named)
        steps: list[tuple[int, int, str | None, bool, list[RequestLogRow]]] = []
        for start, end in pairwise(edges):
            within = _grouped((row for row in rows if start <= _quarter(row) < end), lambda row: _name(row, query))
            steps += [
                (start, end, name if query.by else None, False, within.get(name, []))
                for name in named
                if query.fill or name in within
            ]
            others = list(chain.from_iterable(group for name, group in within.items() if name not in named))
            if has_others and (query.fill or others):
                steps.append((start, end, None, True, others))
        return steps


def _row(line: bytes, number: int) -> RequestLogRow:
    fields = dict(zip(ENTRY_FIELDS, json.loads(line), strict=False))
    trail = fields.get("attempt_trail")
    total = fields["total_tokens"]
    ttft, cost = fields.get("ttft_ms"), fields.get("cost_usd")
    return RequestLogRow(
        id=number,
        timestamp=fields["timestamp"],
        chain_name=fields["chain_name"],
        provider_id=fields["provider_id"],
        model=fields["model"],
        prompt_tokens=fields["prompt_tokens"],
        completion_tokens=fields["completion_tokens"],
        total_tokens=fields["prompt_tokens"] + fields["completion_tokens"] if total is None else total,
        latency_ms=math.floor(fields["latency_ms"] + 0.5),
        http_status=fields["http_status"],
        attempts=fields["attempts"],
        error_message=fields.get("error_message"),
        request_id=fields.get("request_id"),
        caller=fields.get("caller"),
        ttft_ms=None if ttft is None else math.floor(ttft + 0.5),
        cost_usd=None if cost is None else float(cost),
        streamed=fields.get("streamed"),
        cached_tokens=fields.get("cached_tokens"),
        metadata=fields.get("metadata"),
        attempt_trail=None if trail is None else [LoggedAttempt(**attempt) for attempt in trail],
        **{name: fields.get(name) for name in LATER_FIELDS if name != "cost_source"},
        cost_source=None if cost is None else fields.get("cost_source") or "gateway",
    )


def _grouped(rows: Iterable[RequestLogRow], key: Callable[[RequestLogRow], _K]) -> dict[_K, list[RequestLogRow]]:
    groups: dict[_K, list[RequestLogRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _totals(rows: Sequence[RequestLogRow]) -> tuple[int, int, int, int, int, float]:
    return (
        len(rows),
        sum(row.total_tokens for row in rows),
        sum(row.prompt_tokens for row in rows),
        sum(row.completion_tokens for row in rows),
        max(row.timestamp for row in rows),
        _nano(rows) / NANO,
    )


def _quarter(row: RequestLogRow) -> int:
    return row.timestamp // QUARTER_MS * QUARTER_MS


def _name(row: RequestLogRow, query: UsageQuery) -> str:
    names = {"chain": row.chain_name, "provider": row.provider_id, "model": row.model, "caller": row.caller or ""}
    return names[query.by] if query.by else ""


def _passes(row: RequestLogRow, query: UsageQuery) -> bool:
    where = query.where
    return (
        where.chain in (None, row.chain_name)
        and where.provider in (None, row.provider_id)
        and where.model in (None, row.model)
        and where.caller in (None, row.caller or "")
    )


def _ended(row: RequestLogRow, outcome: Outcome) -> bool:
    return outcome_of(row) == outcome


def _is_asked(row: RequestLogRow, query: UsageQuery) -> bool:
    return query.durations_of == "all" or _ended(row, "answered") == (query.durations_of == "answered")


def _ttfts(rows: Iterable[RequestLogRow]) -> list[int]:
    return [row.ttft_ms for row in rows if row.ttft_ms is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _per_second(rows: Sequence[RequestLogRow]) -> float | None:
    latency = sum(row.latency_ms for row in rows if _ended(row, "answered"))
    return 1_000 * sum(row.completion_tokens for row in rows) / latency if latency else None


def _percentiles(values: Iterable[int]) -> Percentiles:
    counts = [0] * (len(UPPERS) + 1)
    for value in values:
        counts[bisect_left(UPPERS, value)] += 1
    return percentiles(counts)


_Outcome = tuple[int, int | None, str | None]


def _attempts(rows: Iterable[RequestLogRow]) -> dict[tuple[str, str], list[_Outcome]]:
    """Every try with its time, status and error; a row without a trail shows its last try, if it had one."""
    tries: dict[tuple[str, str], list[_Outcome]] = {}
    for row in rows:
        if row.attempt_trail is not None:
            for attempt in row.attempt_trail:
                outcome = (row.timestamp, attempt.http_status, attempt.error_message)
                tries.setdefault((attempt.provider_id, attempt.model), []).append(outcome)
        elif row.attempts:
            outcome = (row.timestamp, row.http_status, row.error_message if row.http_status >= 400 else None)
            tries.setdefault((row.provider_id, row.model), []).append(outcome)
    return tries


def _status(one: _Outcome) -> int:
    return attempt_status(one[1], one[2])


def _outcomes(outcomes: Sequence[_Outcome]) -> tuple[int, int, int, int]:
    statuses = [_status(one) for one in outcomes]
    return (
        len(statuses),
        sum(status < 400 for status in statuses),
        sum(status == 429 for status in statuses),
        sum(status >= 400 and status not in (429, 499) for status in statuses),
    )


def _sums(rows: Sequence[RequestLogRow]) -> list[float]:
    answered = [row for row in rows if _ended(row, "answered")]
    ttfts = _ttfts(answered)
    return [
        len(rows),
        sum(_ended(row, "failed") for row in rows),
        sum(_ended(row, "cancelled") for row in rows),
        sum(row.http_status == 429 for row in rows),
        sum(row.attempts > 1 for row in rows),
        sum(row.prompt_tokens for row in rows),
        sum(row.completion_tokens for row in rows),
        *_classes(rows).values(),
        sum(row.total_tokens for row in rows),
        _nano(rows),
        _unanswered_nano(rows),
        sum(row.latency_ms for row in answered),
        sum(ttfts),
        *(_cumulated([row.latency_ms for row in answered])),
        len(ttfts),
        *(_cumulated(ttfts)),
        *(_cumulated([row.latency_ms for row in rows if not _ended(row, "answered")])),
    ]


def _classes(rows: Iterable[RequestLogRow]) -> dict[str, int]:
    return {name: sum(getattr(row, name) or 0 for row in rows) for name in TOKEN_CLASSES}


def _nano(costs: Iterable[RequestLogRow | LoggedAttempt]) -> int:
    """The sum in nano-dollars, each cost rounded half up."""
    return sum(math.floor((one.cost_usd or 0) * 1e9 + 0.5) for one in costs)


def _unanswered_nano(rows: Iterable[RequestLogRow]) -> int:
    tries = [attempt for row in rows for attempt in row.attempt_trail or ()]
    return _nano(one for one in tries if attempt_status(one.http_status, one.error_message) >= 400)


def _cumulated(values: Sequence[int]) -> list[int]:
    """How many values lie in bins that end within 5 % above each bound."""
    uppers = [UPPERS[bisect_left(UPPERS, value)] for value in values]
    return [sum(upper <= bound * 21 // 20 for upper in uppers) for bound in BOUNDS_MS]
