"""One picture of the results: plain SVG, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import msgspec

from benchmarks.report.results import Results
from benchmarks.suites.saturated import SaturatedResult

WIDTH = 920
LEFT = 300
RIGHT = 110
BAR = 20
GAP = 8

OURS = "#2f6fde"
OTHERS = "#8a94a6"
TEXT = "#57606a"


class Bar(msgspec.Struct):
    """One line of a panel."""

    label: str
    value: float
    text: str
    is_ours: bool


class Panel(msgspec.Struct):
    """Bars that are compared with each other."""

    title: str
    subtitle: str
    bars: list[Bar]


def draw(results: Results) -> str:
    """The picture. What was not measured is left out."""
    parts: list[str] = []
    y = 34
    for panel in _panels(results):
        parts += _draw(panel, y)
        y += 66 + len(panel.bars) * (BAR + GAP)
    machine = results.machine
    where = f"{machine.processor}, {machine.cores} cores, Python {machine.python}, SQLite {machine.sqlite}"
    parts.append(_text(20, y, f"{where}. Made by `make bench`; medians.", size=12))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 16}" role="img" '
        'font-family="system-ui, sans-serif" aria-label="What a busy gateway keeps of its log, and what it pays">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _panels(results: Results) -> Iterator[Panel]:
    if results.saturated is not None:
        for subject in ("uvicorn, asyncio", "plain Python, asyncio"):
            bars = [
                Bar(
                    one.strategy,
                    one.share.median,
                    f"{one.share.median:.1%}{_kept(one)}",
                    one.strategy.startswith("chainlog"),
                )
                for one in results.saturated.results
                if one.subject == subject and one.share is not None and one.strategy != "no logging"
            ]
            yield Panel(
                f"Event loop 100 % busy ({subject}): rows in the database at the end of the run",
                "in brackets: what the gateway keeps of the requests/s that it answers without logging",
                bars,
            )
    if results.callers_cost is not None:
        yield Panel(
            "What a request pays: building its record and handing it over",
            "µs on the event loop's thread, on a square root scale",
            [
                Bar(one.name, one.both.median**0.5, f"{one.both.median / 1e3:.2f} µs", one.name.startswith("chainlog"))
                for one in results.callers_cost.contenders
                if one.both is not None
            ],
        )
    if results.throughput is not None:
        yield Panel(
            "Idle event loop: rows committed per second",
            "",
            [
                Bar(one.name, one.rows_per_s.median, f"{one.rows_per_s.median:,.0f}", one.name.startswith("chainlog"))
                for one in results.throughput.contenders
                if one.rows_per_s is not None
            ],
        )


def _draw(panel: Panel, top: int) -> Iterator[str]:
    yield _text(20, top, panel.title, size=15, weight=600)
    yield _text(20, top + 18, panel.subtitle, size=12)
    largest = max((bar.value for bar in panel.bars), default=1.0) or 1.0
    for number, bar in enumerate(panel.bars):
        y = top + 30 + number * (BAR + GAP)
        width = max((WIDTH - LEFT - RIGHT) * bar.value / largest, 1)
        yield _text(LEFT - 10, y + 15, bar.label, anchor="end", weight=600 if bar.is_ours else 400)
        colour = OURS if bar.is_ours else OTHERS
        yield f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3" fill="{colour}"/>'
        yield _text(LEFT + width + 8, y + 15, bar.text, weight=600 if bar.is_ours else 400)


def _kept(result: SaturatedResult) -> str:
    return "" if result.requests_ratio is None else f" ({result.requests_ratio.median:.0%})"


def _text(x: float, y: float, text: str, *, size: int = 13, weight: int = 400, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{TEXT}">{escape(text)}</text>'
    )
