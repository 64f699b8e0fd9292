"""Keeps every failure to log away from the client that is watched."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from chainlog_async.common.error_names import name_error
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.errors import ChainlogError

_P = ParamSpec("_P")
_R = TypeVar("_R")

throttle = LogThrottle()


def safely(function: Callable[_P, _R]) -> Callable[_P, _R | None]:
    """Returns the function, which then logs each error of its own at most once a minute, and returns None."""

    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        try:
            return function(*args, **kwargs)
        except ChainlogError as refusal:
            throttle.warn("watched call", f"a call was not recorded: {refusal}")
        except Exception as bug:  # noqa: BLE001  # a failure to record must not affect the call
            throttle.warn("watched call", f"a call was not recorded: {name_error(bug)}")
        return None

    return guarded
