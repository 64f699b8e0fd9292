"""Which name was probably meant, when nothing is found."""

from __future__ import annotations

from chainlog_async.cli.output.render import plain
from chainlog_async.common.spelling import did_you_mean
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.usage.dimensions import KEYS
from chainlog_async.usage.query import UsageFilter
from chainlog_async.usage_aggregator import UsageAggregator


async def similar_names(usage: UsageAggregator, where: UsageFilter | RequestFilter) -> str:
    """Returns a question such as ``; did you mean --provider groq?``, or nothing, to follow "nothing was found".

    It names each filter whose name is not in the log while a similar one is. Raises `DatabaseError`.
    """
    given = [(kind, name) for kind in KEYS if (name := getattr(where, kind))]
    given += [(one.dimension, name) for one in where.names if not one.excluded for name in one.names if name]
    if not given:
        return ""
    names = await usage.get_names()
    meant = []
    for kind, name in given:
        known: tuple[str, ...] = getattr(names, f"{kind}s")
        near = None if name in known else did_you_mean(name, known)
        if near is not None:
            meant.append(f"--{kind} {plain(near)}")
    return f"; did you mean {' '.join(meant)}?" if meant else ""
