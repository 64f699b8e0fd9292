"""``make bench-month``: how long each question about a month of ten million requests takes.

The month is 3 chains, 15 models of 8 providers and 20 callers, some far busier than others: 900 combinations. It is
made once, through the statement that the writer uses, and rolled up as the writer does it; that takes half an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from time import perf_counter

import aiosqlite

from benchmarks.harness.common import CACHE, percentile, say
from benchmarks.harness.databases import WRITE_BATCH, make_database
from chainlog_async import RequestFilter, UsageAggregator, UsageFilter, UsageQuery, Window, initialize_database
from chainlog_async.storage.sqlite.connection import close_connection
from chainlog_async.storage.sqlite.maintenance.rollup_job import ROLLUP_GRACE_MS, RollupJob
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.time_window import Step

ROWS = 10_000_000
BATCH = 5_000
DAY_MS = 86_400_000
SPAN_MS = 30 * DAY_MS
START_MS = 1_790_000_000_000 // DAY_MS * DAY_MS
END_MS = START_MS + SPAN_MS

MODELS = [(f"provider-{number // 2}", f"model-{number // 2}-{number % 2}") for number in range(15)]
STATUSES = (200, 429, 500, 400)

LENGTHS: tuple[tuple[str, int, Step | None], ...] = (
    ("24 h", 1, "15m"),
    ("7 d", 7, "1h"),
    ("30 d", 30, "1d"),
    ("30 d", 30, None),
)
BYS: tuple[GroupBy | None, ...] = (None, "chain", "provider", "model", "caller")
FILTERS = {
    "": UsageFilter(),
    "chain": UsageFilter(chain="chain-0"),
    "provider": UsageFilter(provider="provider-0"),
    "model": UsageFilter(model="model-0-0"),
    "caller": UsageFilter(caller="team-1"),
    "model and caller": UsageFilter(model="model-0-0", caller="team-1"),
}
PAGES = {
    "all": RequestFilter(),
    "a rare chain": RequestFilter(chain="chain-2"),
    "a rare provider": RequestFilter(provider="provider-7"),
    "a rare caller": RequestFilter(caller="team-19"),
    "429": RequestFilter(status="429"),
    "5xx": RequestFilter(status="5xx"),
    "slower than 30 s": RequestFilter(min_latency_ms=30_000),
    "a text in the error": RequestFilter(error_text="error 500"),
    "a text in no error": RequestFilter(error_text="nowhere"),
    "a request id": RequestFilter(request_id="req-989680"),
    "rare in three ways": RequestFilter(provider="provider-7", caller="team-19", status="5xx"),
    "nobody": RequestFilter(caller="nobody"),
}

Windows = dict[str, Window]
Question = Callable[[], Awaitable[object]]


def main() -> None:
    """Makes the month if need be, asks, and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suites.month", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="size of the log (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="how often each question is asked (default: %(default)s)")
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments.rows, arguments.repeat))


async def _measure(rows: int, repeat: int) -> None:
    path = CACHE / f"month-{rows}.db"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        await make_month(unfinished, rows)
        unfinished.rename(path)
    say(f"{rows:,} requests, {path.stat().st_size / rows:.0f} bytes each in the file")
    async with UsageAggregator(path, read_timeout_ms=60_000) as usage:
        await ask_everything(usage, repeat)


async def ask_everything(usage: UsageAggregator, repeat: int) -> None:
    """Asks every question and prints how long it took, by family."""
    (latest,) = await usage.get_recent_requests(1)
    windows = _windows(latest.timestamp)
    say(f"{'ms':<44}{'questions':>10}{'p50':>8}{'p95':>8}{'worst':>8}  the slowest question")
    every: list[float] = []
    for family, questions in _families(usage, windows):
        times: list[float] = []
        worst, slowest = 0.0, ""
        asked = 0
        async for name, question in questions:
            took = await _time(question, repeat)
            asked += 1
            times += took
            if max(took) > worst:
                worst, slowest = max(took), name
        every += times
        say(f"{family:<44}{asked:>10}{_shown(times)}  {slowest}")
    say(f"{'every question':<44}{len(every) // repeat:>10}{_shown(every)}")


def _shown(times: list[float]) -> str:
    times.sort()
    return f"{percentile(times, 0.5):>8.1f}{percentile(times, 0.95):>8.1f}{times[-1]:>8.1f}"


async def _time(question: Question, repeat: int) -> list[float]:
    await question()
    took = []
    for _ in range(repeat):
        started = perf_counter()
        await question()
        took.append(1_000 * (perf_counter() - started))
    return took


def _windows(newest: int) -> Windows:
    return {
        f"{length} by {step or 'nothing'}, {zone}": Window(
            start=newest - days * DAY_MS, end=newest, step=step, zone=zone
        )
        for length, days, step in LENGTHS
        for zone in ("UTC", "America/New_York")
    }


def _families(usage: UsageAggregator, windows: Windows) -> Iterator[tuple[str, AsyncIterator[tuple[str, Question]]]]:
    yield "providers, chains, summary, recent, names", _plain(usage)
    for what, ask in (("usage", usage.get_usage), ("latency", usage.get_latency)):
        for dimensions in (0, 1, 2, 3):
            yield f"{what} over time, {dimensions} of 4 dimensions", _over_time(ask, windows, dimensions)
    yield "provider health", _health(usage, windows)
    yield "pages of requests, and one request", _pages(usage)


async def _plain(usage: UsageAggregator) -> AsyncIterator[tuple[str, Question]]:
    yield "providers", usage.get_all_provider_usage
    yield "chains", usage.get_all_chain_usage
    yield "summary", usage.get_summary_stats
    yield "recent 50", usage.get_recent_requests
    yield "names", usage.get_names


async def _over_time(
    ask: Callable[..., Awaitable[object]], windows: Windows, dimensions: int
) -> AsyncIterator[tuple[str, Question]]:
    for window_name, window in windows.items():
        for filter_name, where in FILTERS.items():
            for by in BYS:
                asked = {name for name in filter_name.split(" and ") if name} | ({by} if by else set())
                if len(asked) == dimensions:
                    name = f"{window_name}, by {by or 'nothing'}, where {filter_name or 'anything'}"
                    yield name, partial(ask, UsageQuery(window=window, by=by, where=where))


async def _health(usage: UsageAggregator, windows: Windows) -> AsyncIterator[tuple[str, Question]]:
    for name, window in windows.items():
        yield name, partial(usage.get_provider_health, window)


async def _pages(usage: UsageAggregator) -> AsyncIterator[tuple[str, Question]]:
    for name, where in PAGES.items():
        yield name, partial(usage.find_requests, where)
        cursor = (await usage.find_requests(where)).next_cursor
        if cursor is not None:
            yield f"{name}, next page", partial(usage.find_requests, where, cursor=cursor)
    page = await usage.find_requests(RequestFilter())
    yield "one request", partial(usage.get_request, page.requests[0].id)


# -- the month ---------------------------------------------------------------------------------------------------


async def make_month(path: Path, rows: int) -> None:
    """Makes a log of so many requests in 30 days, rolled up."""
    started = perf_counter()
    await make_database(path)
    connection = await initialize_database(path)
    try:
        for first in range(0, rows, BATCH):
            lines = json.dumps(list(requests_of(first, min(first + BATCH, rows), rows))).encode()
            await connection.execute_fetchall(WRITE_BATCH, ("month", first, first + BATCH, lines))
            if first % (rows // 20) == 0:
                say(f"  {first:,} of {rows:,} requests, {perf_counter() - started:.0f} s")
        await _roll_up(connection)
    finally:
        await close_connection(connection)
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _roll_up(connection: aiosqlite.Connection) -> None:
    started, longest = perf_counter(), 0.0
    rollups = RollupJob()
    more = True
    while more:
        began = perf_counter()
        more = await rollups.advance(connection, END_MS + ROLLUP_GRACE_MS)
        longest = max(longest, perf_counter() - began)
    took = perf_counter() - started
    say(f"  rolled up in {took:.0f} s; between two batches it took at most {1_000 * longest:.0f} ms")


def requests_of(first: int, end: int, rows: int) -> Iterator[list[object]]:
    """Those from `first` to `end` of a month of so many `rows`, as the lines of a batch have them."""
    chosen = random.Random(first)
    count = end - first
    models = chosen.choices(MODELS, [1 / (1 + place) for place in range(15)], k=count)
    callers = chosen.choices(range(20), [1 / (1 + place) for place in range(20)], k=count)
    chains = chosen.choices(range(3), (6, 3, 1), k=count)
    statuses = chosen.choices(STATUSES, (90, 7, 2, 1), k=count)
    attempts = chosen.choices((1, 2, 3), (88, 10, 2), k=count)
    for place in range(count):
        (provider, model), status, caller = models[place], statuses[place], callers[place]
        latency = round(chosen.lognormvariate(7, 0.9), 1)
        yield [
            START_MS + (first + place) * SPAN_MS // rows,
            f"chain-{chains[place]}",
            provider,
            model,
            chosen.randrange(10, 4_000),
            chosen.randrange(1, 1_000),
            None,
            latency,
            status,
            attempts[place],
            None if status == 200 else f"error {status} from {provider}",
            f"req-{first + place:x}",
            f"team-{caller}" if caller else None,
            round(latency / 4, 1),
            round(chosen.random() / 100, 6),
            bool(place & 1),
            chosen.randrange(1_000),
            None,
            None,
        ]


if __name__ == "__main__":
    main()
