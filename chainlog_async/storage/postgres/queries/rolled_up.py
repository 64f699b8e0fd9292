"""What is rolled up of a window, for `usage.rollup_plan`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chainlog_async.storage.postgres.reader_pool import Snapshot
from chainlog_async.usage.dimensions import WIDTHS

_SPANS_OF_WIDTH = "SELECT width, start FROM valid WHERE width = {width}"
# A span within a longer rolled-up one is needed only if a step begins or ends inside the longer one.
_INNER_SPANS_OF_WIDTH = f"""{_SPANS_OF_WIDTH} AND (
  start / {{wider}} IN (SELECT edge / {{wider}} FROM unnest(:edges::bigint[]) AS edge)
  OR NOT EXISTS (
    SELECT 1 FROM valid AS span WHERE span.width = {{wider}} AND span.start = valid.start / {{wider}} * {{wider}}
  )
)"""  # noqa: S608  # built from constants of this module
_PARTS = [_INNER_SPANS_OF_WIDTH.format(width=width, wider=wider) for width, wider in pairwise(WIDTHS)]
ROLLED_UP = f"""
WITH valid AS MATERIALIZED (
  SELECT width, start FROM rolled_up
  WHERE width = ANY(:all_widths::bigint[]) AND start >= :since AND start < :until
    AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = :dimension) <> 0
)
{" UNION ALL ".join((*_PARTS, _SPANS_OF_WIDTH.format(width=WIDTHS[-1])))}
"""  # noqa: S608  # built from constants of this module


async def rolled_up_spans(snapshot: Snapshot, edges: Sequence[int], dimension: str) -> set[tuple[int, int]]:
    """Width and start, in ms, of what is rolled up by that dimension and of use for steps between these edges."""
    rows = await snapshot.fetch(
        ROLLED_UP,
        {
            "all_widths": list(WIDTHS),
            "since": edges[0],
            "until": edges[-1],
            "edges": list(edges),
            "dimension": dimension,
        },
    )
    return {(int(str(width)), int(str(start))) for width, start in rows}
