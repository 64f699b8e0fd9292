"""Asks a program's own function what a request cost."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from chainlog_async.common.error_names import name_error
from chainlog_async.common.log_throttle import LogThrottle

from .model import RequestLogEntry

CostCallback = Callable[[RequestLogEntry], float | None]
"""Gives the price of a finished entry in US dollars; None if it does not know."""


def with_cost(entry: RequestLogEntry, cost: CostCallback | None, throttle: LogThrottle) -> RequestLogEntry:
    """Returns the entry with the cost that `cost` gives, unless it has one.

    Raises only `KeyboardInterrupt` and `SystemExit`: another failure of `cost` is logged, and the row says that its
    cost is missing.
    """
    if cost is None or entry.cost_usd is not None:
        return entry
    try:
        return msgspec.structs.replace(entry, cost_usd=cost(entry))
    except (KeyboardInterrupt, SystemExit):
        raise
    # Nothing is awaited here, so that even a CancelledError is the callback's own.
    except BaseException as bug:  # noqa: BLE001  # a price that is missing must not cost the row
        throttle.warn("cost of a request", f"the cost of a request is unknown: {name_error(bug)}")
        # No number, so it is left out, counted, and named in the row.
        return msgspec.structs.replace(entry, cost_usd=math.nan)
