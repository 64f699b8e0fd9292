"""Bars, sparklines, and the labels of steps and groups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from chainlog_async.common.zones import zone_of
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.time_window import Window

_PointT = TypeVar("_PointT", UsagePoint, LatencyPoint)


BAR_CELLS = 20

_BLOCKS = " ▏▎▍▌▋▊▉█"

_SPARKS = "▁▂▃▄▅▆▇█"


def bar(value: float, largest: float) -> str:
    """Draws a bar in eighths of a cell: `largest` takes `BAR_CELLS` cells, any value above 0 at least an eighth."""
    eighths = round(8 * BAR_CELLS * value / largest) if largest > 0 else 0
    eighths = max(eighths, 1) if value > 0 else eighths
    full, rest = divmod(eighths, 8)
    return "█" * full + (_BLOCKS[rest] if rest else "")


def sparkline(values: Sequence[float]) -> str:
    """Draws one character per value, as high as its share of the largest; a space for 0."""
    largest = max(values, default=0)
    return "".join(
        _SPARKS[min(int(value / largest * len(_SPARKS)), len(_SPARKS) - 1)] if value > 0 else " " for value in values
    )


def step_name(ms: int, window: Window) -> str:
    """Returns the start of a step, given in ms since the epoch, in the window's time zone."""
    local = datetime.fromtimestamp(ms / 1_000, UTC).astimezone(zone_of(window.zone))
    return local.strftime("%Y-%m-%d" if window.step == "1d" and not (local.hour or local.minute) else "%Y-%m-%d %H:%M")


def group_name(point: UsagePoint | LatencyPoint, by: str | None) -> str:
    """Returns the label of the point's group."""
    if by is None:
        return "all"
    return "(others)" if point.other else point.name or "(none)"


def percent(share: float) -> str:
    """Formats a share from 0 to 1 as a percentage; 0 as ``-``."""
    return f"{share:.1%}" if share else "-"


def dollars(amount: float) -> str:
    """Formats US dollars: two decimals from $1 up, four below; 0 as ``-``."""
    return "-" if not amount else f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def exact_dollars(amount: float) -> str:
    """Formats US dollars with six to nine decimals, as many as there are."""
    text = f"{amount:,.9f}"
    return f"${text[:-3]}{text[-3:].rstrip('0')}"


def by_group(points: Sequence[_PointT], by: str | None) -> dict[str, list[_PointT]]:
    """Returns the points by the label of their group, in their order."""
    groups: dict[str, list[_PointT]] = {}
    for point in points:
        groups.setdefault(group_name(point, by), []).append(point)
    return groups
