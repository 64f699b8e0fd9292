"""The results as tables, one for each part that was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.report.results import Results, Target
from benchmarks.report.text_table import NOTHING, Cells, Table, as_text, figure, median, percent, spread
from benchmarks.suites.busy_reads import BusyRead
from benchmarks.suites.call_cost import CallersCost
from benchmarks.suites.import_cost import Imports
from benchmarks.suites.in_gateway import InGateway
from benchmarks.suites.proxying import Proxying
from benchmarks.suites.reads import Reads
from benchmarks.suites.saturated import Saturated, SaturatedResult
from benchmarks.suites.scale import Scale
from benchmarks.suites.space import Space
from benchmarks.suites.throughput import Throughput


def render(results: Results) -> str:
    """For a terminal: the machine first, the promises last."""
    lines = [*heading(results), *(line for table in tables(results) for line in as_text(table))]
    return "\n".join([*lines, *as_text(promises(results.targets))] if results.targets else lines)


def heading(results: Results) -> list[str]:
    """Where and how it was measured."""
    machine = results.machine
    kind = "quick" if results.quick else "full"
    hardware = f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB"
    software = f"{machine.system}, Python {machine.python}, SQLite {machine.sqlite}"
    return [
        f"chainlog-async {results.version} on {hardware}; {software}.",
        f"A {kind} run of {results.took_s:.0f} s; load of the machine before it: {machine.load_before}.",
        "Medians of several interleaved rounds; in brackets the middle half of the rounds.",
    ]


def tables(results: Results) -> Iterator[Table]:
    """In the order in which they are numbered."""
    yield from _of_writing(results)
    yield from _of_reading(results)
    if results.imports is not None:
        yield _imports(results.imports)


def _of_writing(results: Results) -> Iterator[Table]:
    if results.callers_cost is not None:
        yield _callers(results.callers_cost)
        if results.callers_cost.parts:
            yield _parts(results.callers_cost)
    if results.throughput is not None:
        yield _throughput(results.throughput)
    if results.saturated is not None:
        yield from _saturated(results.saturated)
    if results.in_gateway:
        yield _in_gateway(results.in_gateway)
    if results.proxying:
        yield _proxying(results.proxying)


def _of_reading(results: Results) -> Iterator[Table]:
    if results.reads is not None:
        yield _reads(results.reads)
    if results.busy_reads:
        yield _busy_reads(results.busy_reads)
    if results.scale is not None:
        yield _scale(results.scale)
    if results.space:
        yield _space(results.space)


def promises(targets: Sequence[Target]) -> Table:
    """What was promised, and whether it was kept."""
    return Table(
        "Targets", ("", "target", "found", ""), [(one.name, one.bound, one.found, one.verdict) for one in targets]
    )


def _row(name: str, error: str | None, *cells: str) -> Cells:
    """The figures of one contender, or why there are none."""
    return (name, *cells) if error is None else (name, f"not measured: {error}")


def _callers(cost: CallersCost) -> Table:
    rows = [
        _row(
            one.name,
            one.error,
            spread(one.hand_over),
            median(one.p50),
            median(one.p99),
            median(one.p999),
            median(one.ratio_hand_over),
            spread(one.both),
            median(one.ratio_both),
            median(one.loop_us),
            NOTHING if one.memory is None else figure(one.memory.bytes_per_entry),
            NOTHING if one.memory is None else figure(one.memory.resident_bytes_per_entry),
        )
        for one in cost.contenders
    ]
    head = (
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
    )
    notes = [
        "ratio: to chainlog with its journal on. build + hand over: from the request's values to a record handed over.",
        "loop in all: CPU of the loop's thread per request until nothing waits, with what was put off till later.",
        "Peers send what they get to nowhere, and get longer queues than by default where the memory is measured.",
    ]
    built = next((one.build_entry for one in cost.contenders if one.build_entry is not None), None)
    if built is not None:
        notes.append(f"Building an entry: {spread(built)} ns.")
    return Table("1. Caller's cost, ns per request", head, rows, notes)


def _parts(cost: CallersCost) -> Table:
    rows = [(one.name, spread(one.took)) for one in cost.parts]
    notes = ["Each is the least of 20 turns, in each round; the two last lines are sums."]
    return Table("1b. Where a call of log_request spends its time, ns", ("", "ns"), rows, notes)


def _throughput(throughput: Throughput) -> Table:
    rows = [
        _row(
            one.name,
            one.error,
            spread(one.rows_per_s),
            spread(one.share_of_limit),
            median(one.to_ours),
            median(one.loop_us),
            median(one.process_us),
        )
        for one in throughput.contenders
    ]
    head = ("", "rows/s", "share of the limit", "to chainlog", "loop's CPU, µs/row", "process's CPU, µs/row")
    return Table("2. Throughput on an idle loop", head, rows)


def _in_gateway(ways: Sequence[InGateway]) -> Table:
    rows = [
        _row(
            one.name,
            one.error,
            *(NOTHING if us is None else figure(us) for us in (one.call_p50_us, one.call_mean_us, one.call_p99_us)),
            spread(one.added_us),
            percent(one.share),
        )
        for one in ways
    ]
    head = ("", "the call, p50", "mean", "p99", "added in all", "to a request without")
    notes = [
        "Under uvicorn with asyncio; one process logs and does not, in turn, for 0.3 s each. added in all: CPU time of",
        "the loop's thread per request, less that of the phases around.",
    ]
    return Table("3b. What a request pays inside a busy gateway, µs", head, rows, notes)


def _proxying(gateways: Sequence[Proxying]) -> Table:
    rows = [
        (
            one.name,
            spread(one.requests_per_s),
            percent(one.kept),
            percent(one.by_cpu),
            median(one.p99_ms),
            spread(one.latency_ratio),
        )
        for one in gateways
    ]
    head = ("", "requests/s without the log", "kept with it", "by CPU", "p99 latency, ms", "ratio")
    notes = [
        "Starlette and httpx in front of a provider on loopback, 32 clients; without the log and with it in turn, and",
        "each phase with it compared with the one just before.",
    ]
    return Table("3c. A gateway that proxies", head, rows, notes)


def _busy_reads(reads: Sequence[BusyRead]) -> Table:
    rows = [
        _row(
            f"{one.contender}: {one.question}", one.error, str(one.times), *(_ms(ms) for ms in (one.p50_ms, one.p95_ms))
        )
        for one in reads
    ]
    notes = ["Asked by a task of an event loop of plain Python that is 100 % busy and logs its requests."]
    return Table("4b. Reads in a saturated process, ms", ("", "times", "p50", "p95"), rows, notes)


def _ms(value: float | None) -> str:
    return NOTHING if value is None else figure(value)


def _saturated(saturated: Saturated) -> Iterator[Table]:
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
    subjects = list(dict.fromkeys(one.subject for one in saturated.results))
    for subject in subjects:
        rows = [_saturated_row(one) for one in saturated.results if one.subject == subject]
        notes = [
            "kept: requests/s with logging to those of the same process just before, without; by CPU: the same by what",
            "a request takes of its loop's CPU. ratio: that of the p99 latency, or of the lag where nobody asks.",
            "loop busy: CPU of the loop's thread; below 90 %, other processes took the processor away.",
        ]
        title = f"3. Saturated loop: {subject}, {saturated.seconds:g} s"
        yield Table(title, head, rows, notes if subject == subjects[-1] else [])


def _saturated_row(one: SaturatedResult) -> Cells:
    return _row(
        one.strategy,
        one.error,
        percent(one.share),
        median(one.age_p50_s),
        median(one.age_p99_s),
        median(one.age_max_s),
        median(one.requests_per_s),
        percent(one.requests_ratio),
        percent(one.cpu_ratio),
        median(one.latency_p99_ms) if one.latency_p99_ms and one.latency_p99_ms.median else NOTHING,
        median(one.latency_ratio),
        median(one.lag_added_ms),
        NOTHING if one.loop_cpu is None else f"{one.loop_cpu.median:.0%}",
    )


def _reads(reads: Reads) -> Table:
    sizes = sorted({one.rows for one in reads.results})
    by_key = {(one.rows, one.question): one for one in reads.results}
    rows: list[Cells] = []
    for question in dict.fromkeys(one.question for one in reads.results):
        ones = [by_key[size, question] for size in sizes]
        growth = ones[-1].p50.median / ones[0].p50.median
        rows.append((question, *(f"{median(one.p50)} / {median(one.p99)}" for one in ones), f"{growth:.2f}"))
    head = ("", *(f"{size:,} rows" for size in sizes), "growth of p50")
    written = ", ".join(median(reads.written_per_s[size]) for size in sizes)
    notes = [f"Rows/s written meanwhile: {written}."]
    notes += [f"{size:,} rows: not measured: {error}" for size, error in reads.errors.items()]
    return Table("4. Reads beside a busy writer, p50 / p99 in µs, thread hop included", head, rows, notes)


def _scale(scale: Scale) -> Table:
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
    per_row = (
        f"Per row: {scale.bytes_per_row:.0f} bytes on disk with its indexes ({scale.measured}), {scale.cpu_us:.1f} µs "
        f"of CPU, of which {scale.sql_us:.1f} µs in SQLite without the GIL. Usage over time is not in these columns: "
        f"it takes {scale.over_time_bytes / 1e6:,.0f} MB of that log, and grows with the combinations of chain, model "
        "and caller in use (table 5b)."
    )
    notes = [per_row, scale.error] if scale.error else [per_row]
    return Table("5. Scale", head, rows, notes)


def _space(logs: Sequence[Space]) -> Table:
    rows = [
        (
            one.name,
            f"{one.requests:,}",
            f"{one.bytes_per_request:,.0f}",
            f"{one.over_time_per_request:,.0f}",
            f"{one.requests_in(10 * 2**30) / 1e6:,.0f} million",
        )
        for one in logs
    ]
    head = ("", "requests", "bytes each, all included", "of which usage over time", "in 10 GiB")
    notes = ["Taken by `make bench-space`; with indexes, buckets, rollups and all other tables."]
    return Table("5b. Space", head, rows, notes)


def _imports(imports: Imports) -> Table:
    rows = [("import chainlog_async", spread(imports.milliseconds), spread(imports.megabytes))]
    return Table("6. Importing the package, more than bare Python", ("", "ms", "MB"), rows)
