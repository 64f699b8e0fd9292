"""What the library promises of its speed, held against what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.harness.common import Spread
from benchmarks.harness.releases import BEFORE
from benchmarks.report.results import Results, Target
from benchmarks.suites.busy_reads import BusyRead
from benchmarks.suites.call_cost import CallersCost
from benchmarks.suites.import_cost import Imports
from benchmarks.suites.in_gateway import InGateway
from benchmarks.suites.proxying import Proxying
from benchmarks.suites.reads import HOP, ORIGINAL, Reads
from benchmarks.suites.saturated import Saturated
from benchmarks.suites.throughput import LIMIT, NO_BUCKETS, OURS, Throughput


def judge(results: Results) -> list[Target]:
    """One line per promise, for the parts that were measured."""
    targets: list[Target] = []
    if results.callers_cost is not None:
        targets += _callers(results.callers_cost)
    if results.throughput is not None:
        targets += _throughput(results.throughput)
    if results.in_gateway:
        targets += _in_gateway(results.in_gateway)
    if results.saturated is not None:
        targets += _saturated(results.saturated)
    if results.proxying:
        targets += _proxying(results.proxying)
    if results.busy_reads:
        targets += _busy_reads(results.busy_reads)
    if results.reads is not None:
        targets += _reads(results.reads)
    if results.imports is not None:
        targets += _imports(results.imports)
    return targets


def _at_most(name: str, value: float | None, bound: float, unit: str = "") -> Target:
    if value is None:
        return Target(name, f"<= {bound:g}{unit}", "-", "not measured")
    return Target(name, f"<= {bound:g}{unit}", f"{value:.3g}{unit}", "met" if value <= bound else "missed")


def _at_least(name: str, value: float | None, bound: float, unit: str = "") -> Target:
    if value is None:
        return Target(name, f">= {bound:g}{unit}", "-", "not measured")
    return Target(name, f">= {bound:g}{unit}", f"{value:.3g}{unit}", "met" if value >= bound else "missed")


def _median(spread: Spread | None) -> float | None:
    return None if spread is None else spread.median


def _callers(cost: CallersCost) -> Iterator[Target]:
    ours = {one.name: one for one in cost.contenders if one.name.startswith("chainlog")}
    for name, bound in (("chainlog, journal off", 1.0), ("chainlog, journal on", 2.0)):
        call = ours[name].hand_over
        yield _at_most(f"log_request ({name})", None if call is None else call.median / 1e3, bound, " µs")
    for peer in cost.contenders:
        if peer.name == BEFORE:
            on = ours["chainlog, journal on"].hand_over
            ratio = None if on is None or peer.hand_over is None else on.median / peer.hand_over.median
            yield _at_most("log_request in a loop, to the release before", ratio, 0.55, " x")
        if peer.name in ours or peer.name == BEFORE:
            continue
        for what, field in (("handing over", "hand_over"), ("with its building", "both"), ("loop in all", "loop_us")):
            own: Spread | None = getattr(ours["chainlog, journal on"], field)
            other: Spread | None = getattr(peer, field)
            ratio = None if own is None or other is None else other.median / own.median
            yield _at_least(f"{what}: {peer.name} to chainlog, journal on", ratio, 1.0, " x")
    build = ours["chainlog, journal on"].build_entry
    yield _at_most("building an entry", None if build is None else build.median / 1e3, 0.3, " µs")
    for name, one in ours.items():
        memory = None if one.memory is None else max(one.memory.bytes_per_entry, one.memory.resident_bytes_per_entry)
        yield _at_most(f"memory per waiting entry ({name})", memory, 400, " bytes")


def _throughput(throughput: Throughput) -> Iterator[Target]:
    by_name = {one.name: one for one in throughput.contenders}
    share = by_name[OURS].share_of_limit
    yield _at_least("idle throughput to bare sqlite3, journal on", None if share is None else share.median, 0.85)
    with_buckets, without = by_name[LIMIT].rows_per_s, by_name[NO_BUCKETS].rows_per_s
    kept = None if with_buckets is None or without is None else with_buckets.median / without.median
    yield _at_least("throughput that usage over time leaves", kept, 0.6)
    before = by_name[BEFORE].to_ours
    yield _at_least("idle throughput to the release before", None if before is None else 1 / before.median, 1.0, " x")
    rows = by_name["aiosqlite, row by row"].to_ours
    yield _at_least("idle throughput to aiosqlite row by row", None if rows is None else 1 / rows.median, 4, " x")


def _in_gateway(ways: Sequence[InGateway]) -> Iterator[Target]:
    p50 = {one.name: one.call_p50_us for one in ways}
    ours, before = p50.get("chainlog, journal on"), p50.get(BEFORE)
    ratio = None if ours is None or before is None else ours / before
    yield _at_most("log_request in a busy gateway, p50, to the release before", ratio, 0.7, " x")


def _proxying(gateways: Sequence[Proxying]) -> Iterator[Target]:
    for one in gateways:
        yield _at_least(f"requests/s kept (proxying, {one.name})", one.kept.median, 0.985)
        yield _at_most(f"p99 latency (proxying, {one.name})", one.latency_ratio.median, 1.03, " x")


def _busy_reads(reads: Sequence[BusyRead]) -> Iterator[Target]:
    for one in reads:
        if one.contender != BEFORE:
            yield _at_most(f"a read in a saturated process, p95 ({one.question})", one.p95_ms, 50, " ms")


def _saturated(saturated: Saturated) -> Iterator[Target]:
    oldest_s = 2 * saturated.flush_interval_s + 0.5
    for one in saturated.results:
        if not one.strategy.startswith("chainlog"):
            continue
        where = f"{one.subject}, {one.strategy}"
        yield _at_least(f"persisted at the end ({where})", _median(one.share), 0.97)
        yield _at_most(f"oldest entry, p99 ({where})", _median(one.age_p99_s), oldest_s, " s")
        kept = 0.95 if one.subject.startswith("uvicorn") else 0.97
        yield _at_least(f"requests/s kept ({where})", _median(one.requests_ratio), kept)
        yield _at_least(f"requests kept per CPU second ({where})", _median(one.cpu_ratio), kept)
        if one.latency_p99_ms is not None and one.latency_p99_ms.median:
            yield _at_most(f"p99 latency ({where})", _median(one.latency_ratio), 1.10, " x")


def _reads(reads: Reads) -> Iterator[Target]:
    sizes = sorted({one.rows for one in reads.results})
    if len(sizes) < 2:
        return
    p50 = {(one.rows, one.question): one for one in reads.results}
    for question in dict.fromkeys(one.question for one in reads.results):
        if question in (HOP, ORIGINAL):
            continue
        small, large = p50[sizes[0], question], p50[sizes[-1], question]
        name = f"{question} at {sizes[-1]:,} rows"
        yield _at_most(f"{name} to {sizes[0]:,}", large.p50.median / small.p50.median, 1.5, " x")
        yield _at_most(f"{name}, less the thread hop", large.without_hop.median / 1e3, 1.0, " ms")


def _imports(imports: Imports) -> Iterator[Target]:
    yield _at_most("importing the package", imports.milliseconds.median, 150, " ms")
    yield _at_most("memory of the import", imports.megabytes.median, 25, " MB")
