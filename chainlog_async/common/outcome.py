"""How a request ended: answered, failed, or cancelled by its client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

CANCELLED_STATUS = 499
"""Status of a request whose client hung up before the answer was complete, as nginx uses it."""

Outcome: TypeAlias = Literal["answered", "failed", "cancelled"]


class _Attempt(Protocol):
    @property
    def http_status(self) -> int | None: ...
    @property
    def error_message(self) -> str | None: ...


class _Request(Protocol):
    @property
    def http_status(self) -> int: ...
    @property
    def error_message(self) -> str | None: ...
    @property
    def attempt_trail(self) -> Sequence[_Attempt] | None: ...


def outcome_of(request: _Request) -> Outcome:
    """Returns how a request ended, by the rule of the column ``outcome`` (migrations/0010).

    Its client hung up at status 499. It failed with a status of 400 or more, and also below if it has an error message
    and its last attempt failed: a stream that began with 200 may break off.
    """
    if request.http_status == CANCELLED_STATUS:
        return "cancelled"
    if request.http_status >= 400:
        return "failed"
    last = request.attempt_trail[-1] if request.attempt_trail else None
    has_failed = last is not None and attempt_status(last.http_status, last.error_message) >= 400
    return "failed" if has_failed and request.error_message is not None else "answered"


def attempt_status(http_status: int | None, error_message: str | None) -> int:
    """Returns the status by which an attempt is counted.

    It is 599 for an attempt without a status, such as a refused connection, and for one whose answer began with a
    status below 400 and then failed.
    """
    return 599 if http_status is None or (http_status < 400 and error_message is not None) else http_status
