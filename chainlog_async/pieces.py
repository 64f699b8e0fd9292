"""Which tables answer for which part of a window: what is rolled up, as coarse as fits, and buckets for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, TypeAlias

from .rollups import SPANS
from .window import HOUR_MS, QUARTER_MS

Dimension: TypeAlias = Literal["all", "chain", "provider", "model", "caller", "each"]

Piece: TypeAlias = tuple[int, int, int, int]
"""Index of the step it is part of; width of the rollups in ms, 0 for the buckets; from when to when, in ms."""

ROLLED_UP = "SELECT width, start FROM rolled_up WHERE taken_by IS NULL AND start >= ? AND start < ?"

_WIDTHS = (*sorted((width for width, _ in SPANS), reverse=True), HOUR_MS)


def cut(edges: Sequence[int], dimension: Dimension, rolled_up: AbstractSet[tuple[int, int]]) -> list[Piece]:
    """The steps between the edges (whole quarters of an hour) in as few and as coarse pieces as `rolled_up` allows.

    That is a set of widths and starts. Quarters are rolled up with their hour, but for the dimension ``each``, whose
    quarters are the buckets.
    """
    pieces: list[Piece] = []
    for step in range(len(edges) - 1):
        time, end = edges[step], edges[step + 1]
        while time < end:
            width = next(
                (width for width in _WIDTHS if not time % width and time + width <= end and (width, time) in rolled_up),
                0,
            )
            if not width and dimension != "each" and (HOUR_MS, time // HOUR_MS * HOUR_MS) in rolled_up:
                width = QUARTER_MS
            until = time + (width or QUARTER_MS)
            if pieces and pieces[-1][:2] == (step, width) and pieces[-1][3] == time:
                pieces[-1] = (step, width, pieces[-1][2], until)
            else:
                pieces.append((step, width, time, until))
            time = until
    return pieces
