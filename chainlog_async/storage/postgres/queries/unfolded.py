"""Between which times there are rows that are not folded yet.

The functions `…_between` of migrations/0010 take these times, so that a query is planned for the partitions of these
days only, and for none where everything is folded.
"""

from __future__ import annotations

from typing import cast

from chainlog_async.common.clock import END_OF_TIME, QUARTER_MS
from chainlog_async.storage.postgres.reader_pool import Snapshot

BOUNDS = "SELECT COALESCE(min(first_ms), 1), COALESCE(max(last_ms), 0) FROM batches"


async def unfolded_bounds(snapshot: Snapshot, since: int = 0, until: int = END_OF_TIME) -> dict[str, int]:
    """The parameters `first_ms` and `last_ms`; the first is the later one where there are no such rows.

    `since` and `until` say for which buckets rows are needed, in ms since the epoch, UTC.
    """
    ((first, last),) = cast("list[tuple[int, int]]", await snapshot.fetch(BOUNDS))
    return {"first_ms": max(first, since), "last_ms": min(last, until + QUARTER_MS)}
