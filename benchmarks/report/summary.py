"""The few figures that the README shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.harness.common import Spread
from benchmarks.harness.releases import BEFORE
from benchmarks.report.results import Results
from benchmarks.report.text_table import Cells, figure
from benchmarks.suites.busy_reads import BusyRead
from benchmarks.suites.call_cost import OURS as JOURNAL_ON
from benchmarks.suites.call_cost import CallersCost
from benchmarks.suites.in_gateway import InGateway
from benchmarks.suites.proxying import Proxying
from benchmarks.suites.reads import ORIGINAL, Reads
from benchmarks.suites.saturated import Saturated, SaturatedResult
from benchmarks.suites.space import Space
from benchmarks.suites.throughput import OURS, Throughput, ThroughputResult

JOURNAL_OFF = "chainlog, journal off"
SUBJECT = "uvicorn, asyncio"
UNMEASURED = "not measured"


def summary(results: Results) -> Iterator[str]:
    """A table in Markdown, and what it was measured on."""
    rows: list[Cells] = []
    if results.callers_cost is not None:
        rows += _callers(results.callers_cost)
    if results.in_gateway:
        rows += _in_gateway(results.in_gateway)
    if results.saturated is not None:
        rows += _saturated(results.saturated)
    if results.proxying:
        rows.append(_proxying(results.proxying))
    if results.throughput is not None:
        rows.append(_throughput(results.throughput))
    if results.reads is not None and results.reads.results:
        rows.append(_reads(results.reads))
    if results.busy_reads:
        rows.append(_busy_reads(results.busy_reads))
    if results.space:
        rows.append(_space(results.space))
    machine = results.machine
    yield "| | chainlog-async | in the same run |"
    yield "|---|---|---|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
    yield (
        f"Medians on {machine.cores} cores of {machine.processor}, {machine.system}, Python {machine.python}, SQLite "
        f"{machine.sqlite}, written by `make bench` on the machine's own disk."
    )


def _callers(cost: CallersCost) -> Iterator[Cells]:
    ours = {one.name: one for one in cost.contenders if one.name.startswith("chainlog")}
    peers = [one for one in cost.contenders if one.name not in ours]
    on, off = ours[JOURNAL_ON], ours[JOURNAL_OFF]
    before = [(one.name, _micro(one.hand_over)) for one in peers if one.name == BEFORE]
    yield ("`log_request`", f"{_micro(on.hand_over)}, without the journal {_micro(off.hand_over)}", _listed(before))
    yield (
        "building a record and handing it over",
        _micro(on.both),
        _listed([(one.name, _micro(one.both)) for one in peers]),
    )
    yield (
        "the event loop's CPU for it, in all",
        _cpu(on.loop_us),
        _listed([(one.name, _cpu(one.loop_us)) for one in peers]),
    )


def _in_gateway(ways: Sequence[InGateway]) -> Iterator[Cells]:
    p50 = {one.name: one.call_p50_us for one in ways}
    ours, before = (UNMEASURED if us is None else f"{figure(us)} µs" for us in (p50.get(JOURNAL_ON), p50.get(BEFORE)))
    yield ("`log_request` in a busy gateway under uvicorn, p50", ours, f"{BEFORE} {before}")


def _saturated(saturated: Saturated) -> Iterator[Cells]:
    ones = {one.strategy: one for one in saturated.results if one.subject == SUBJECT and one.error is None}
    if JOURNAL_ON not in ones:
        return
    ours = ones.pop(JOURNAL_ON)
    others = [one for name, one in ones.items() if name not in (JOURNAL_OFF, "no logging")]

    def row(what: str, value: Callable[[SaturatedResult], str]) -> Cells:
        return (what, value(ours), _listed([(one.strategy, value(one)) for one in others]))

    yield row("uvicorn at 100 % CPU: rows in the database at the end", lambda one: _percent(one.share))
    yield row("the requests/s it keeps", lambda one: _percent(one.requests_ratio))
    yield row("its p99 latency, to that without a log", lambda one: _times(one.latency_ratio))


def _proxying(gateways: Sequence[Proxying]) -> Cells:
    kept = _listed([(f"{one.name}:", f"{one.kept.median:.1%}") for one in gateways])
    late = ", ".join(f"{one.latency_ratio.median:.2f}" for one in gateways)
    return ("a gateway that proxies: the requests/s it keeps", kept, f"p99 latency, to that without a log: {late}")


def _throughput(throughput: Throughput) -> Cells:
    ones = {one.name: one for one in throughput.contenders}

    def rate(one: ThroughputResult) -> str:
        return UNMEASURED if one.rows_per_s is None else f"{one.rows_per_s.median:,.0f}"

    others = [(name, rate(one)) for name, one in ones.items() if not name.startswith("chainlog")]
    return ("idle event loop: rows/s", rate(ones[OURS]), _listed(others))


def _reads(reads: Reads) -> Cells:
    largest = max(one.rows for one in reads.results)
    p50 = {one.question: one.p50.median / 1e3 for one in reads.results if one.rows == largest}
    return (
        f"summary of {largest:,} rows while they are written to, p50",
        f"{figure(p50['summary'])} ms",
        f"{ORIGINAL} {figure(p50[ORIGINAL])} ms",
    )


def _busy_reads(reads: Sequence[BusyRead]) -> Cells:
    worst: dict[str, float] = {}
    for one in reads:
        if one.p95_ms is not None:
            worst[one.contender] = max(one.p95_ms, worst.get(one.contender, 0))
    ours, before = (f"{figure(worst[name])} ms" if name in worst else UNMEASURED for name in (JOURNAL_ON, BEFORE))
    return ("a read in a process that is 100 % busy, p95", ours, f"{BEFORE} {before}")


def _space(logs: Sequence[Space]) -> Cells:
    largest = max(logs, key=lambda one: one.requests)
    others = [(f"{one.name}:", f"{one.bytes_per_request:,.0f} bytes") for one in logs if one is not largest]
    what = "a request on the disk, with its indexes and usage over time"
    return (what, f"{largest.bytes_per_request:,.0f} bytes ({largest.name})", _listed(others))


def _listed(figures: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{name} {value}" for name, value in figures)


def _times(ratio: Spread | None) -> str:
    return UNMEASURED if ratio is None else f"{ratio.median:.2f}"


def _micro(nanoseconds: Spread | None) -> str:
    return UNMEASURED if nanoseconds is None else f"{figure(nanoseconds.median / 1e3)} µs"


def _cpu(microseconds: Spread | None) -> str:
    return UNMEASURED if microseconds is None else f"{figure(microseconds.median)} µs"


def _percent(values: Spread | None) -> str:
    return UNMEASURED if values is None else f"{values.median:.0%}" if values.median >= 0.1 else f"{values.median:.1%}"
