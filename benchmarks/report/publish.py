"""Keeps the results: results.json beside this, the chart in docs, the tables on the terminal and in the pages."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.harness.common import CACHE, say
from benchmarks.report import pages
from benchmarks.report.chart import draw
from benchmarks.report.results import Results
from benchmarks.report.tables import render

QUICK_RESULTS = CACHE / "results-quick.json"
QUICK_CHART = CACHE / "results-quick.svg"


def report(results: Results) -> None:
    """Writes and prints. A quick run, or a part of one, does not replace what a full run found."""
    is_published = is_whole(results) and not results.quick
    _write(results, pages.RESULTS if is_published else QUICK_RESULTS)
    if is_whole(results):
        chart = pages.CHART if is_published else QUICK_CHART
        chart.write_text(draw(results), encoding="utf-8")
        say(f"The chart is in {chart}.")
    if is_published:
        pages.write(results)
        say(f"Its figures are in {', '.join(str(page) for page in pages.PAGES)}.")
    say()
    say(render(results))


def is_whole(results: Results) -> bool:
    """Whether every part was measured."""
    parts = (
        results.callers_cost,
        results.throughput,
        results.saturated,
        results.proxying or None,
        results.busy_reads or None,
        results.reads,
        results.scale,
        results.imports,
    )
    return None not in parts


def _write(results: Results, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    say(f"Every figure is in {path}.")
