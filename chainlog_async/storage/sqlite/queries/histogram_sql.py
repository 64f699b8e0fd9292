"""Stored histograms in SQL; `usage.percentiles` reads them."""

from __future__ import annotations

BIN_OF_VALUE, COUNT_OF_VALUE = "value & 511", "value >> 9"
"""In SQL, of a value of a stored histogram (see `merge`): the bin's number, and how many requests are in it."""


def stored(counts: str) -> str:
    """The SQL that makes a stored histogram out of rows with a bin's `number` and that column's counts."""
    return f"json_group_array(512 * {counts} + number) FILTER (WHERE {counts} > 0)"
