"""Work of a fixed amount."""

from __future__ import annotations

from itertools import repeat


def count_up(times: int) -> None:
    """Counts, rather than for a fixed time: time that passes while another thread has the GIL is no work.

    It makes no objects, so that it takes the same time whatever else is in memory.
    """
    flag = True
    for _ in repeat(None, times):
        flag = not flag
