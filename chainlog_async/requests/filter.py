"""A filter for single requests."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from chainlog_async.common.clock import MAX_INT64
from chainlog_async.common.name_sets import NAME_COLUMNS, NameSet
from chainlog_async.common.outcome import outcome_of

from .model import RequestLogRow

MAX_FILTER_CHARS = 1_000
"""Longest text of a filter, in characters."""

STATUS = "[1-5][0-9][0-9]|[1-5]xx|errors|answered|unanswered"
"""Pattern of a status filter: one status, a class of them, or a word for an outcome."""

STATUS_EXAMPLES = "429, a class such as 4xx, errors for all that failed, answered, or unanswered (failed or cancelled)"
"""What `STATUS` matches, for people: to follow "one status such as"."""

_TEXTS = ("chain", "provider", "model", "caller", "error_text", "request_id", "session_id", "tag", "search")
BOUNDS: Mapping[str, str] = {
    "min_latency_ms": "latency_ms >=",
    "max_latency_ms": "latency_ms <=",
    "min_tokens": "total_tokens >=",
    "max_tokens": "total_tokens <=",
    "min_cost_usd": "cost_usd >=",
    "max_cost_usd": "cost_usd <=",
    "min_attempts": "attempts >=",
    "max_attempts": "attempts <=",
}
"""The bounds of numbers, and what they bound."""

SEARCHED: tuple[str, ...] = (
    "chain_name",
    "provider_id",
    "model",
    "caller",
    "error_message",
    "request_id",
    "response_id",
    "session_id",
    "tags",
    "metadata",
)
"""The columns that `RequestFilter.search` looks at."""


class RequestFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Matches requests that meet every condition that is not None.

    Raises `ValueError` for a malformed status or tag, for a number that the database cannot hold, and for a text that
    is longer than `MAX_FILTER_CHARS` or contains a NUL or a lone surrogate.
    """

    start: int | None = None
    """Earliest timestamp, in ms since the epoch, UTC."""
    end: int | None = None
    """First timestamp that no longer matches, in ms since the epoch, UTC."""
    chain: str | None = None
    provider: str | None = None
    model: str | None = None
    caller: str | None = None
    status: str | None = None
    """One status such as ``429``, a class such as ``4xx``, or an outcome (see `outcome_of`): ``errors`` for failed
    requests, ``answered``, or ``unanswered`` for failed and cancelled ones."""
    min_latency_ms: float | None = None
    max_latency_ms: float | None = None
    min_tokens: float | None = None
    """Bounds of the total tokens."""
    max_tokens: float | None = None
    min_cost_usd: float | None = None
    """Bounds of the cost in US dollars; a request without one does not match."""
    max_cost_usd: float | None = None
    min_attempts: float | None = None
    max_attempts: float | None = None
    error_text: str | None = None
    """Text that the error message contains; the case of A to Z is ignored."""
    search: str | None = None
    """Text that one of `SEARCHED` contains; the case of A to Z is ignored. Metadata and tags are searched as JSON."""
    names: tuple[NameSet, ...] = ()
    """Names of which one has to match, or none may."""
    request_id: str | None = None
    """The gateway's own id of the request."""
    session_id: str | None = None
    """The conversation that the request is a part of."""
    tag: str | None = None
    """One of its tags, ``key:value``."""

    def __post_init__(self) -> None:
        for name in _TEXTS:
            _check_text(name, getattr(self, name))
        for name in ("start", "end", *BOUNDS):
            number = getattr(self, name)
            # Written so that NaN is refused too.
            if number is not None and not -MAX_INT64 <= number <= MAX_INT64:
                raise ValueError(f"{name} is {number}; give a number within 64 bits")
        if self.tag is not None and not all(self.tag.partition(":")):
            raise ValueError(f"tag is {self.tag!r}; give KEY:VALUE, such as team:search")
        if self.status is not None and not re.fullmatch(STATUS, self.status):
            raise ValueError(f"status is {self.status!r}; give one such as {STATUS_EXAMPLES}")

    @property
    def is_failed(self) -> bool:
        """Whether only failed requests match."""
        return self.status == "errors"

    @property
    def is_answered(self) -> bool | None:
        """Whether only answered requests match, or only unanswered ones; None for both."""
        return self.status == "answered" if self.status in {"answered", "unanswered"} else None

    @property
    def is_unanswered(self) -> bool:
        """Whether only requests match that were not answered, which have an index of their own."""
        return self.is_failed or self.is_answered is False or (self.statuses is not None and self.statuses[0] >= 400)

    @property
    def statuses(self) -> tuple[int, int] | None:
        """The lowest and the highest status that match, or None for all and for outcomes."""
        if self.status is None or not self.status[0].isdecimal():
            return None
        if self.status.endswith("xx"):
            lowest = int(self.status[0]) * 100
            return lowest, lowest + 99
        return int(self.status), int(self.status)


def lower_ascii(text: str) -> str:
    """Lowercases A to Z and leaves everything else, as SQLite's ``lower`` does."""
    return text.encode().lower().decode()


def searched_in(request: RequestLogRow) -> list[str | None]:
    """The texts of a request that `RequestFilter.search` looks at, in the order of `SEARCHED`."""
    values = (getattr(request, name) for name in SEARCHED)
    return [
        value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode() for value in values
    ]


def _contains(text: str | None, part: str) -> bool:
    return text is not None and lower_ascii(part) in lower_ascii(text)


def _within(value: float | None, least: float | None, most: float | None) -> bool:
    if least is None and most is None:
        return True
    return value is not None and (least is None or value >= least) and (most is None or value <= most)


def _check_text(name: str, text: str | None) -> None:
    if text is None:
        return
    if len(text) > MAX_FILTER_CHARS:
        raise ValueError(f"{name} has {len(text)} characters; give {MAX_FILTER_CHARS} at most")
    if "\0" in text or re.search("[\ud800-\udfff]", text):
        raise ValueError(f"{name} is {text!r}; no text in the log contains such a character")


def matches(request: RequestLogRow, where: RequestFilter) -> bool:
    """Whether the filter matches this request, by the rules of `find_requests`."""
    statuses = where.statuses
    return (
        (where.start is None or request.timestamp >= where.start)
        and (where.end is None or request.timestamp < where.end)
        and where.chain in (None, request.chain_name)
        and where.provider in (None, request.provider_id)
        and where.model in (None, request.model)
        and where.caller in (None, request.caller)
        and where.request_id in (None, request.request_id)
        and where.session_id in (None, request.session_id)
        and (where.tag is None or where.tag in (request.tags or ()))
        and (statuses is None or statuses[0] <= request.http_status <= statuses[1])
        and (not where.is_failed or outcome_of(request) == "failed")
        and where.is_answered in (None, outcome_of(request) == "answered")
        and _within(request.latency_ms, where.min_latency_ms, where.max_latency_ms)
        and _within(request.total_tokens, where.min_tokens, where.max_tokens)
        and _within(request.cost_usd, where.min_cost_usd, where.max_cost_usd)
        and _within(request.attempts, where.min_attempts, where.max_attempts)
        and all(one.admits(getattr(request, NAME_COLUMNS[one.dimension])) for one in where.names)
        and (where.error_text is None or _contains(request.error_message, where.error_text))
        and (where.search is None or any(_contains(text, where.search) for text in searched_in(request)))
    )
