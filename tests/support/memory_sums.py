"""Sums, percentiles and outcomes of a few rows, for the engine that keeps everything in a list."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from chainlog_async.common.outcome import Outcome, attempt_status, outcome_of
from chainlog_async.entry.model import TOKEN_CLASSES
from chainlog_async.requests.model import LoggedAttempt, RequestLogRow
from chainlog_async.usage.metric_totals import BOUNDS_MS
from chainlog_async.usage.percentiles import UPPERS, DurationBin, Percentiles, bins, percentiles
from chainlog_async.usage.sums import NANO


def totals_of(rows: Sequence[RequestLogRow]) -> tuple[int, int, int, int, int, float]:
    """Requests, tokens, the last time and the cost in US dollars."""
    return (
        len(rows),
        sum(row.total_tokens for row in rows),
        sum(row.prompt_tokens for row in rows),
        sum(row.completion_tokens for row in rows),
        max(row.timestamp for row in rows),
        nano_of(rows) / NANO,
    )


def ended(row: RequestLogRow, outcome: Outcome) -> bool:
    """Whether the request ended like this."""
    return outcome_of(row) == outcome


def ttfts_of(rows: Iterable[RequestLogRow]) -> list[int]:
    """The times to first token that are known, in ms."""
    return [row.ttft_ms for row in rows if row.ttft_ms is not None]


def mean(values: Sequence[float]) -> float | None:
    """The mean, or None without any."""
    return sum(values) / len(values) if values else None


def per_second(rows: Sequence[RequestLogRow]) -> float | None:
    """Completion tokens per second of latency of the answered requests."""
    latency = sum(row.latency_ms for row in rows if ended(row, "answered"))
    return 1_000 * sum(row.completion_tokens for row in rows) / latency if latency else None


def percentiles_of(values: Iterable[int]) -> Percentiles:
    """Percentiles of durations in ms."""
    return percentiles(_counts(values))


def bins_of(values: Iterable[int]) -> tuple[DurationBin, ...]:
    """How many durations in ms are in each bin."""
    return bins(_counts(values))


def _counts(values: Iterable[int]) -> list[int]:
    counts = [0] * (len(UPPERS) + 1)
    for value in values:
        counts[bisect_left(UPPERS, value)] += 1
    return counts


TryOutcome = tuple[int, int | None, str | None]


def attempts_of(rows: Iterable[RequestLogRow]) -> dict[tuple[str, str], list[TryOutcome]]:
    """Every try with its time, status and error; a row without a trail shows its last try, if it had one."""
    tries: dict[tuple[str, str], list[TryOutcome]] = {}
    for row in rows:
        if row.attempt_trail is not None:
            for attempt in row.attempt_trail:
                outcome = (row.timestamp, attempt.http_status, attempt.error_message)
                tries.setdefault((attempt.provider_id, attempt.model), []).append(outcome)
        elif row.attempts:
            outcome = (row.timestamp, row.http_status, row.error_message if row.http_status >= 400 else None)
            tries.setdefault((row.provider_id, row.model), []).append(outcome)
    return tries


def status_of(one: TryOutcome) -> int:
    """The status that a try counts as."""
    return attempt_status(one[1], one[2])


def outcomes_of(outcomes: Sequence[TryOutcome]) -> tuple[int, int, int, int]:
    """Tries, successes, refusals and failures."""
    statuses = [status_of(one) for one in outcomes]
    return (
        len(statuses),
        sum(status < 400 for status in statuses),
        sum(status == 429 for status in statuses),
        sum(status >= 400 and status not in (429, 499) for status in statuses),
    )


def sums_of(rows: Sequence[RequestLogRow]) -> list[float]:
    """What is summed up for a group of requests."""
    answered = [row for row in rows if ended(row, "answered")]
    ttfts = ttfts_of(answered)
    return [
        len(rows),
        sum(ended(row, "failed") for row in rows),
        sum(ended(row, "cancelled") for row in rows),
        sum(row.http_status == 429 for row in rows),
        sum(row.attempts > 1 for row in rows),
        sum(row.prompt_tokens for row in rows),
        sum(row.completion_tokens for row in rows),
        *classes_of(rows).values(),
        sum(row.total_tokens for row in rows),
        nano_of(rows),
        unanswered_nano_of(rows),
        sum(row.latency_ms for row in answered),
        sum(ttfts),
        *(cumulated([row.latency_ms for row in answered])),
        len(ttfts),
        *(cumulated(ttfts)),
        *(cumulated([row.latency_ms for row in rows if not ended(row, "answered")])),
    ]


def classes_of(rows: Iterable[RequestLogRow]) -> dict[str, int]:
    """Tokens by class."""
    return {name: sum(getattr(row, name) or 0 for row in rows) for name in TOKEN_CLASSES}


def nano_of(costs: Iterable[RequestLogRow | LoggedAttempt]) -> int:
    """The sum in nano-dollars, each cost rounded half up."""
    return sum(math.floor((one.cost_usd or 0) * 1e9 + 0.5) for one in costs)


def unanswered_nano_of(rows: Iterable[RequestLogRow]) -> int:
    """The cost of the tries that failed, in nano-dollars."""
    tries = [attempt for row in rows for attempt in row.attempt_trail or ()]
    return nano_of(one for one in tries if attempt_status(one.http_status, one.error_message) >= 400)


def cumulated(values: Sequence[int]) -> list[int]:
    """How many values lie in bins that end within 5 % above each bound."""
    uppers = [UPPERS[bisect_left(UPPERS, value)] for value in values]
    return [sum(upper <= bound * 21 // 20 for upper in uppers) for bound in BOUNDS_MS]
