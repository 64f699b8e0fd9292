"""SQL that packs and unpacks stored histograms; `usage.percentiles` decodes them in Python."""

from __future__ import annotations

BIN_OF_VALUE, COUNT_OF_VALUE = "value & 511", "value >> 9"
"""SQL for the two parts of a value in a stored histogram (see `merge`): the bin's number, and its count."""


def stored(counts: str) -> str:
    """SQL that aggregates rows with a bin's `number` and a column of counts into a stored histogram."""
    return f"json_group_array(512 * {counts} + number) FILTER (WHERE {counts} > 0)"
