"""Totals since ever for counters that somebody scrapes: exact, and cheap each time.

To add up every bucket of a long log at each scrape would be a scan, so the sum of the quarters of an hour that are over
is remembered, and only the last hour's are read again. Rows that come later than that (an import, a journal that was
replayed days after) are noticed by their ids, and then everything is added up afresh. All numbers come from the same
tables whatever process asks, so several workers on one file tell the same, and a restart begins where it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import anyio
import msgspec

from .entry import now_ms
from .histogram import Histogram
from .readers import ReaderPool

OTHER = "other"
"""What stands for every chain, provider and model that has no series of its own."""

BOUNDS_MS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000)
"""Of the histograms of latency and time to first token."""

LATE_MS = 3_600_000
"""Rows that are stored later than this after their timestamp cost one reading of all buckets."""

BUCKET_MS = 900_000
START_OF_TIME, END_OF_TIME = -(2**63), 2**63 - 1

MOST_NEW_ROWS = 1_000_000
"""Above so many rows since the last look, to read all buckets is cheaper than to look for late ones."""

# What lies up to a bound is what lies in the bins that end below a cut 5 % above it: the bins of 0007 are so wide that
# the last of these ends between 0.95 and 1.05 of the bound.
_CUTS = tuple(bound * 21 // 20 for bound in BOUNDS_MS)

NEWEST_ID = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'request_logs'), 0)"
# Not indexed but by id: the index on the timestamp would be walked from its beginning.
NEW_ROWS = "SELECT COUNT(*), MIN(timestamp) FROM request_logs NOT INDEXED WHERE id > ? AND id <= ?"

# Cost in whole billionths: sums of doubles depend on their order, and a counter that falls by a rounding error is
# taken for one that began again. One statement, so that the sum and the counts of a histogram are of one moment.
USAGE = """
WITH usage AS (
  SELECT chain_name, provider_id, model, MIN(start) AS first,
    SUM(requests), SUM(errors), SUM(rate_limited), SUM(waterfalls),
    SUM(prompt_tokens), SUM(completion_tokens), SUM(cached_tokens), SUM(total_tokens),
    SUM(CAST(ROUND(cost_usd * 1e9) AS INTEGER)), SUM(latency_ms), SUM(ttft_ms), :counts
  FROM usage_buckets WHERE start >= ? AND start < ? GROUP BY 1, 2, 3
), ttft AS (
  SELECT chain_name, provider_id, model, SUM(requests), :counts
  FROM ttft_buckets WHERE start >= ? AND start < ? GROUP BY 1, 2, 3
)
SELECT * FROM usage LEFT JOIN ttft USING (chain_name, provider_id, model) ORDER BY first, 1, 2, 3
""".replace(":counts", ", ".join(["SUM(requests * (upper_ms <= ?))"] * len(_CUTS)))
ATTEMPTS = (
    "SELECT provider_id, model, MIN(start) AS first, SUM(tries), SUM(successes), SUM(rate_limited), SUM(failures) "
    "FROM attempt_buckets WHERE start >= ? AND start < ? GROUP BY 1, 2 ORDER BY first, 1, 2"
)


class UsageTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All that was ever logged for one chain, provider and model."""

    chain: str
    provider: str
    model: str
    requests: int
    errors: int
    """With a status of 400 or more."""
    rate_limited: int
    """With the status 429."""
    waterfalls: int
    """Requests that took more than one attempt."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_tokens: int
    cost_usd: float
    latency_ms: Histogram
    """Its bounds are exact to 5 %, as the bins are that it is made of."""
    ttft_ms: Histogram
    """Time to first token, of requests that told it."""


class AttemptTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Every try that was ever made with one provider and model, whoever answered in the end."""

    provider: str
    model: str
    tries: int
    successes: int
    rate_limited: int
    """Answered with 429."""
    failures: int
    """Answered with another error, or not at all; a client that went away (499) is nobody's failure."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Everything since ever."""

    usage: tuple[UsageTotals, ...]
    attempts: tuple[AttemptTotals, ...]


Key = tuple[str, ...]
Number = int | float


@dataclass(slots=True)
class _Series:
    """Sums by key. The first keys keep their own, all later ones share one; a key never changes sides."""

    key_length: int
    named: set[Key] = field(default_factory=set)
    closed: dict[Key, list[Number]] = field(default_factory=dict)
    """Sums of the buckets before the open ones."""

    def add(self, sums: dict[Key, list[Number]], rows: Sequence[Sequence[object]], most: int) -> None:
        """Adds what a query gave: the key, when it was first seen, and numbers."""
        for row in rows:
            key = tuple(map(str, row[: self.key_length]))
            if key not in self.named:
                if len(self.named) < most:
                    self.named.add(key)
                else:
                    key = (OTHER,) * self.key_length
            numbers = [value if isinstance(value, int | float) else 0 for value in row[self.key_length + 1 :]]
            known = sums.get(key)
            sums[key] = numbers if known is None else [a + b for a, b in zip(known, numbers, strict=True)]


@dataclass(slots=True)
class _Known:
    """What is remembered of one file."""

    open_from: int | None = None
    """Buckets from here on are read each time, in ms since the epoch, UTC; None before the first time."""
    seen_id: int = 0
    """No row up to this one can surprise."""
    usage: _Series = field(default_factory=lambda: _Series(key_length=3))
    attempts: _Series = field(default_factory=lambda: _Series(key_length=2))


class RunningTotals:
    """The totals of one file, kept running between two scrapes."""

    def __init__(self, readers: ReaderPool) -> None:
        self._readers = readers
        self._lock = anyio.Lock()
        self._known = _Known()

    def forget(self) -> None:
        """Another file is at the path: begins anew."""
        self._known = _Known()

    async def read(self, max_groups: int) -> Totals:
        """The totals now, of the first `max_groups` combinations that were seen and of the others as `OTHER`.

        Raises `DatabaseError` when the database cannot be read.
        """
        async with self._lock:
            # Not to be looked up again below: it may be forgotten meanwhile.
            known = self._known
            open_from = await self._close_buckets(known, max_groups)
            usage, attempts = dict(known.usage.closed), dict(known.attempts.closed)
            known.usage.add(usage, await self._fetch_usage(open_from, END_OF_TIME), max_groups)
            known.attempts.add(attempts, await self._fetch_attempts(open_from, END_OF_TIME), max_groups)
        return Totals(
            usage=tuple(_usage_totals(key, sums) for key, sums in usage.items()),
            attempts=tuple(_attempt_totals(key, sums) for key, sums in attempts.items()),
        )

    async def _close_buckets(self, known: _Known, most: int) -> int:
        """Adds buckets that are over to what is remembered. Returns when the open ones begin, in ms UTC."""
        # First of all, so that a row which comes meanwhile is looked at again, rather than never.
        ((newest_id,),) = await self._readers.fetch(NEWEST_ID)
        newest = int(str(newest_id))
        begin = known.open_from
        end = max((now_ms() - LATE_MS) // BUCKET_MS * BUCKET_MS, begin or 0)
        if begin is not None and await self._may_have_missed(known.seen_id, newest, begin):
            begin = None
        if begin != end:
            first = START_OF_TIME if begin is None else begin
            usage_rows = await self._fetch_usage(first, end)
            attempt_rows = await self._fetch_attempts(first, end)
            # Nothing is awaited from here on: a cancellation must not count a bucket twice, or never.
            if begin is None:
                known.usage.closed, known.attempts.closed = {}, {}
            known.usage.add(known.usage.closed, usage_rows, most)
            known.attempts.add(known.attempts.closed, attempt_rows, most)
        known.open_from, known.seen_id = end, newest
        return end

    async def _may_have_missed(self, seen_id: int, newest: int, open_from: int) -> bool:
        """Whether a row has come since the last look that belongs to a bucket which is over."""
        new = newest - seen_id
        if not 0 <= new <= MOST_NEW_ROWS:
            return True
        ((count, oldest),) = await self._readers.fetch(NEW_ROWS, (seen_id, newest))
        # One that is gone already was pruned, and what is pruned is old.
        return count != new or (oldest is not None and float(str(oldest)) < open_from)

    async def _fetch_usage(self, begin: int, end: int) -> list[tuple[object, ...]]:
        return await self._readers.fetch(USAGE, (*_CUTS, begin, end, *_CUTS, begin, end))

    async def _fetch_attempts(self, begin: int, end: int) -> list[tuple[object, ...]]:
        return await self._readers.fetch(ATTEMPTS, (begin, end))


def _usage_totals(key: Key, sums: list[Number]) -> UsageTotals:
    chain, provider, model = key
    requests, errors, rate_limited, waterfalls, prompt, completion, cached, total, cost, latency, ttft = sums[:11]
    latency_counts = sums[11 : 11 + len(_CUTS)]
    ttft_requests, *ttft_counts = sums[11 + len(_CUTS) :]
    return UsageTotals(
        chain=chain,
        provider=provider,
        model=model,
        requests=int(requests),
        errors=int(errors),
        rate_limited=int(rate_limited),
        waterfalls=int(waterfalls),
        prompt_tokens=int(prompt),
        completion_tokens=int(completion),
        cached_tokens=int(cached),
        total_tokens=int(total),
        cost_usd=cost / 1e9,
        latency_ms=_histogram(latency_counts, requests, latency),
        ttft_ms=_histogram(ttft_counts, ttft_requests, ttft),
    )


def _attempt_totals(key: Key, sums: list[Number]) -> AttemptTotals:
    provider, model = key
    tries, successes, rate_limited, failures = map(int, sums)
    return AttemptTotals(
        provider=provider,
        model=model,
        tries=tries,
        successes=successes,
        rate_limited=rate_limited,
        failures=failures,
    )


def _histogram(cumulated: Sequence[Number], count: Number, total: Number) -> Histogram:
    counts = tuple(int(high - low) for low, high in pairwise((0, *cumulated, count)))
    return Histogram(BOUNDS_MS, counts, total)
