"""Questions on the wire: `POST /v1/read/{question}`, one for each method of `ReadStorage`.

The body is one of the structs below, and the answer an `Answer` of what the method returns, both as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Generic, TypeVar

import msgspec

from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.sessions import SessionFilter
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.time_window import Window

READ_PATH: Final = "/v1/read"

INVALID_QUESTION: Final = "invalid_question"
"""Code of the answer 400 to a question that makes no sense."""

UNKNOWN_ZONE: Final = "unknown_zone"
"""The same for a time zone that is unknown."""

MAX_LIMIT: Final = 10_000
"""Most rows or names that one answer may have."""

_T = TypeVar("_T")
_Limit = Annotated[int, msgspec.Meta(le=MAX_LIMIT)]


class Answer(msgspec.Struct, Generic[_T], frozen=True):
    """What was asked for."""

    protocol: int
    """Version of the exchange, 1."""
    answer: _T


class Nothing(msgspec.Struct, frozen=True):
    """No arguments."""


class ByName(msgspec.Struct, frozen=True):
    """The name of a provider or a chain."""

    name: str


class Newest(msgspec.Struct, frozen=True):
    """How many."""

    limit: _Limit


class After(msgspec.Struct, frozen=True):
    """Requests stored after one."""

    after_id: int
    limit: _Limit


class Find(msgspec.Struct, frozen=True):
    """A page of requests."""

    where: RequestFilter
    limit: _Limit
    cursor: str | None


class FindSessions(msgspec.Struct, frozen=True):
    """A page of sessions."""

    where: SessionFilter
    limit: _Limit
    cursor: str | None


class OneSession(msgspec.Struct, frozen=True):
    """One session, or one caller's part of it."""

    session_id: str
    caller: str | None


class ById(msgspec.Struct, frozen=True):
    """One request."""

    request_id: int


class ByPrefix(msgspec.Struct, frozen=True):
    """Ids of the gateway that begin like this."""

    prefix: str
    limit: _Limit


class Usage(msgspec.Struct, frozen=True):
    """Usage or latency over time."""

    query: UsageQuery


class InWindow(msgspec.Struct, frozen=True):
    """Attempts in a window."""

    window: Window


class Prices(msgspec.Struct, frozen=True):
    """What models cost at a time."""

    models: Annotated[Sequence[tuple[str, str]], msgspec.Meta(max_length=MAX_LIMIT)]
    at: int


class Groups(msgspec.Struct, frozen=True):
    """How many combinations to name."""

    max_groups: _Limit
