"""The results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .callers_cost import CallersCost
from .common import Spread
from .imports import Imports
from .reads import Reads
from .results import Results, Target
from .saturated import Saturated
from .scale import Scale
from .throughput import Throughput

Cells = Sequence[str]

NOTHING = "-"


def render(results: Results) -> str:
    """Every part that was measured, the machine first, the promises last."""
    machine = results.machine
    kind = "quick" if results.quick else "full"
    hardware = f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB"
    software = f"{machine.system}, Python {machine.python}, SQLite {machine.sqlite}"
    lines = [
        f"chainlog-async {results.version} on {hardware}; {software}",
        f"A {kind} run of {results.took_s:.0f} s; load of the machine before it: {machine.load_before}",
        "Medians of several interleaved rounds; in brackets the middle half of the rounds.",
    ]
    if results.callers_cost is not None:
        lines += _callers(results.callers_cost)
    if results.throughput is not None:
        lines += _throughput(results.throughput)
    if results.saturated is not None:
        lines += _saturated(results.saturated)
    if results.reads is not None:
        lines += _reads(results.reads)
    if results.scale is not None:
        lines += _scale(results.scale)
    if results.imports is not None:
        lines += _imports(results.imports)
    if results.targets:
        lines += _targets(results.targets)
    return "\n".join(lines)


def _table(title: str, head: Cells, rows: Sequence[Cells], *notes: str) -> Iterator[str]:
    widths = [max(len(row[column]) for row in (head, *rows) if column < len(row)) for column in range(len(head))]
    yield ""
    yield title
    yield _line(head, widths)
    yield "  ".join("-" * width for width in widths)
    for row in rows:
        # A row that is cut short ends in words: why there are no figures.
        yield _line(row, widths) if len(row) == len(head) else f"{row[0]:{widths[0]}}  {row[-1]}"
    yield from notes


def _line(cells: Cells, widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([f"{first[0]:{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(spread: Spread | None, factor: float = 1.0) -> str:
    if spread is None:
        return NOTHING
    low, high = _number(spread.p25 * factor), _number(spread.p75 * factor)
    return f"{_number(spread.median * factor)} [{low}-{high}]"


def _median(spread: Spread | None, factor: float = 1.0) -> str:
    return NOTHING if spread is None else _number(spread.median * factor)


def _percent(spread: Spread | None) -> str:
    return NOTHING if spread is None else f"{spread.median:.1%} [{spread.p25:.1%}-{spread.p75:.1%}]"


def _callers(cost: CallersCost) -> Iterator[str]:
    rows: list[Cells] = []
    for one in cost.contenders:
        if one.error is not None:
            rows.append((one.name, f"not measured: {one.error}"))
            continue
        rows.append(
            (
                one.name,
                _spread(one.hand_over),
                _median(one.p50),
                _median(one.p99),
                _median(one.p999),
                _median(one.ratio_hand_over),
                _spread(one.both),
                _median(one.ratio_both),
                _median(one.loop_us),
                NOTHING if one.memory is None else _number(one.memory.bytes_per_entry),
                NOTHING if one.memory is None else _number(one.memory.resident_bytes_per_entry),
            )
        )
    yield from _table(
        "1. Caller's cost, ns per request",
        (
            "",
            "hand over",
            "p50",
            "p99",
            "p99.9",
            "ratio",
            "build + hand over",
            "ratio",
            "loop in all, µs",
            "bytes waiting",
            "resident",
        ),
        rows,
        "ratio: to chainlog with its journal on. build + hand over: from the request's values to a record handed over.",
        "loop in all: CPU of the loop's thread per request until nothing waits, with what was put off till later.",
        "Peers send what they get to nowhere, and get longer queues than by default where the memory is measured.",
    )
    for one in cost.contenders:
        if one.build_entry is not None:
            yield f"Building an entry: {_spread(one.build_entry)} ns."
            return


def _throughput(throughput: Throughput) -> Iterator[str]:
    rows: list[Cells] = [
        (one.name, f"not measured: {one.error}")
        if one.error is not None
        else (
            one.name,
            _spread(one.rows_per_s),
            _spread(one.share_of_limit),
            _median(one.to_ours),
            _median(one.loop_us),
            _median(one.process_us),
        )
        for one in throughput.contenders
    ]
    head = ("", "rows/s", "share of the limit", "to chainlog", "loop's CPU, µs/row", "process's CPU, µs/row")
    yield from _table("2. Throughput on an idle loop", head, rows)


def _saturated(saturated: Saturated) -> Iterator[str]:
    head = (
        "",
        "persisted",
        "oldest p50, s",
        "p99",
        "max",
        "requests/s",
        "kept",
        "by CPU",
        "p99 latency, ms",
        "ratio",
        "lag added, ms",
        "loop busy",
    )
    for subject in dict.fromkeys(one.subject for one in saturated.results):
        rows: list[Cells] = [
            (one.strategy, f"not measured: {one.error}")
            if one.error is not None
            else (
                one.strategy,
                _percent(one.share),
                _median(one.age_p50_s),
                _median(one.age_p99_s),
                _median(one.age_max_s),
                _median(one.requests_per_s),
                _percent(one.requests_ratio),
                _percent(one.cpu_ratio),
                _median(one.latency_p99_ms) if one.latency_p99_ms and one.latency_p99_ms.median else NOTHING,
                _median(one.latency_ratio),
                _median(one.lag_added_ms),
                "-" if one.loop_cpu is None else f"{one.loop_cpu.median:.0%}",
            )
            for one in saturated.results
            if one.subject == subject
        ]
        yield from _table(f"3. Saturated loop: {subject}, {saturated.seconds:g} s", head, rows)
    yield "kept: requests/s with logging to those of the same process just before, without; by CPU: the same by what"
    yield "a request takes of its loop's CPU. ratio: that of the p99 latency, or of the lag where nobody asks."
    yield "loop busy: CPU of the loop's thread; below 90 %, other processes took the processor away."


def _reads(reads: Reads) -> Iterator[str]:
    sizes = sorted({one.rows for one in reads.results})
    by_key = {(one.rows, one.question): one for one in reads.results}
    rows: list[Cells] = []
    for question in dict.fromkeys(one.question for one in reads.results):
        ones = [by_key[size, question] for size in sizes]
        growth = ones[-1].p50.median / ones[0].p50.median
        rows.append((question, *(f"{_median(one.p50)} / {_median(one.p99)}" for one in ones), f"{growth:.2f}"))
    head = ("", *(f"{size:,} rows" for size in sizes), "growth of p50")
    written = ", ".join(_median(reads.written_per_s[size]) for size in sizes)
    notes = [f"Rows/s written meanwhile: {written}."]
    notes += [f"{size:,} rows: not measured: {error}" for size, error in reads.errors.items()]
    yield from _table("4. Reads beside a busy writer, p50 / p99 in µs, thread hop included", head, rows, *notes)


def _scale(scale: Scale) -> Iterator[str]:
    rows: list[Cells] = [
        (
            f"{load.requests_per_s:,} requests/s",
            f"{load.rows / 1e6:,.0f} million",
            f"{load.bytes_on_disk / 1e9:,.1f} GB",
            f"{load.cpu_share:.2%}",
            f"{load.gil_share:.2%}",
            f"{load.days_in_retention_bytes:,.1f}",
        )
        for load in scale.loads
    ]
    head = ("", "rows in 30 days", "on disk", "of a core", "with the GIL", "days kept in 10 GiB")
    yield from _table(
        "5. Scale",
        head,
        rows,
        f"Per row: {scale.bytes_per_row:.1f} bytes on disk in a real file of {scale.measured_rows:,} rows "
        f"({scale.bytes_per_row_small:.1f} in a small one), {scale.cpu_us:.1f} µs of CPU, "
        f"of which {scale.sql_us:.1f} µs in SQLite without the GIL.",
        *([scale.error] if scale.error else []),
    )


def _imports(imports: Imports) -> Iterator[str]:
    yield ""
    yield (
        f"6. Importing the package: {_spread(imports.milliseconds)} ms and {_spread(imports.megabytes)} MB more than "
        "bare Python."
    )


def _targets(targets: Sequence[Target]) -> Iterator[str]:
    rows = [(one.name, one.bound, one.found, one.verdict) for one in targets]
    yield from _table("Targets", ("", "target", "found", ""), rows)
