"""The SQL that finds what is rolled up of a window, for `usage.rollup_plan`."""

from __future__ import annotations

from itertools import pairwise

from chainlog_async.usage.dimensions import WIDTHS

_SPANS_OF_WIDTH = "SELECT width, start FROM valid WHERE width = {width} AND start >= :since AND start < :until"
# A span within a longer rolled-up one is needed only if a step begins or ends inside the longer one.
_INNER_SPANS_OF_WIDTH = f"""{_SPANS_OF_WIDTH} AND (
  start / {{wider}} IN (SELECT value / {{wider}} FROM json_each(:edges))
  OR NOT EXISTS (
    SELECT 1 FROM valid AS span WHERE span.width = {{wider}} AND span.start = valid.start / {{wider}} * {{wider}}
  )
)"""  # noqa: S608  # built from constants of this module
_PARTS = [_INNER_SPANS_OF_WIDTH.format(width=width, wider=wider) for width, wider in pairwise(WIDTHS)]
# Each width is given as a constant so that SQLite searches the key, of which it is the first column.
ROLLED_UP = f"""
WITH valid (width, start) AS NOT MATERIALIZED (
  SELECT width, start FROM rolled_up
  WHERE taken_by IS NULL AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = :dimension)
)
{" UNION ALL ".join((*_PARTS, _SPANS_OF_WIDTH.format(width=WIDTHS[-1])))}
"""  # noqa: S608  # built from constants of this module
