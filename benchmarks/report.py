"""Keeps the results: results.json beside this, the chart in docs, the tables on the terminal."""

from __future__ import annotations

from pathlib import Path

import msgspec

from .chart import draw
from .common import say
from .results import Results
from .tables import render

RESULTS = Path(__file__).resolve().parent / "results.json"
QUICK_RESULTS = RESULTS.parent / ".cache" / "results-quick.json"
CHART = Path(__file__).resolve().parents[1] / "docs" / "performance.svg"


def report(results: Results) -> None:
    """Writes and prints. A quick run, or a part of one, does not replace what a full run found."""
    is_whole = not results.quick and results.saturated is not None and results.callers_cost is not None
    path = RESULTS if is_whole else QUICK_RESULTS
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    chart = CHART if is_whole else path.with_suffix(".svg")
    if results.saturated is not None and results.callers_cost is not None:
        chart.write_text(draw(results), encoding="utf-8")
        say(f"The chart is in {chart}.")
    say(f"Every figure is in {path}.")
    say()
    say(render(results))
