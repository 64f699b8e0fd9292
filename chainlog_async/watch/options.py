"""What a program says about the calls of its clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypedDict, Unpack, cast

from chainlog_async.entry.cost_callback import CostCallback


class CallDescription(TypedDict, total=False):
    """The arguments of `describe_calls`: fields of `RequestLogEntry`, all optional."""

    chain_name: str
    provider_id: str
    caller: str | None
    session_id: str | None
    tags: Sequence[str] | None
    metadata: Mapping[str, object] | None


class WatchOptions(CallDescription, total=False):
    """The arguments of `ChainLog.watch`, all optional: what is said of every call of the client, and these."""

    cost: CostCallback
    """Called with a finished entry for its price in US dollars, unless the provider told what it charges."""
    paths: Sequence[str]
    """Path suffixes whose POST requests are logged; those of `MODEL_PATHS` if not given."""


_described: ContextVar[CallDescription | None] = ContextVar("chainlog_described_calls", default=None)


@contextmanager
def describe_calls(**description: Unpack[CallDescription]) -> Iterator[None]:
    """Describes the calls that watched clients begin in the block, in this task or thread and those it starts.

    What is said here replaces what `ChainLog.watch` and an outer block say. Raises `TypeError` for a name that
    `CallDescription` does not have.
    """
    require_known(description, CallDescription.__annotations__, "describe_calls")
    token = _described.set({**(_described.get() or {}), **description})
    try:
        yield
    finally:
        _described.reset(token)


def description_of(options: WatchOptions) -> CallDescription:
    """Returns what is said of a call that begins here."""
    return cast("CallDescription", {**options, **(_described.get() or {})})


def require_known(given: Mapping[str, object], names: Mapping[str, object], function: str) -> None:
    """Raises `TypeError` for an argument that is not one of the names."""
    unknown = sorted(given.keys() - names.keys())
    if unknown:
        raise TypeError(f"{function}() has no argument {unknown[0]!r}; it takes {', '.join(names)}")
