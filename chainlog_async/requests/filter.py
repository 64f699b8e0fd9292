"""Which requests are meant: bounds and names that all have to hold."""

from __future__ import annotations

import re

import msgspec

MOST = 2**63 - 1
"""The largest whole number that SQLite holds."""

MAX_FILTER_CHARS = 1_000
"""Longest text to look for, in characters."""

STATUS = "[1-5][0-9][0-9]|[1-5]xx|errors"
"""What a status filter looks like: one status, a class of them, or all from 400 on."""

_TEXTS = ("chain", "provider", "model", "caller", "error_text", "request_id")


class RequestFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests are meant. What is None leaves everything in; all the rest has to hold.

    Raises `ValueError` for a status of no known kind, a number that SQLite cannot hold, and a text that is longer than
    `MAX_FILTER_CHARS` or holds a NUL or half a character.
    """

    start: int | None = None
    """The first ms, since the epoch, UTC."""
    end: int | None = None
    """The first ms that is not meant any more."""
    chain: str | None = None
    provider: str | None = None
    model: str | None = None
    caller: str | None = None
    status: str | None = None
    """One status such as ``429``, a class such as ``4xx``, or ``errors`` for 400 and above."""
    min_latency_ms: float | None = None
    error_text: str | None = None
    """A part of the error message; A to Z are the same as a to z."""
    request_id: str | None = None
    """The gateway's own id."""

    def __post_init__(self) -> None:
        for name in _TEXTS:
            _check_text(name, getattr(self, name))
        for name in ("start", "end", "min_latency_ms"):
            number = getattr(self, name)
            # Written so that NaN is refused too.
            if number is not None and not -MOST <= number <= MOST:
                raise ValueError(f"{name} is {number}; give a number of ms that SQLite can hold")
        if self.status is not None and not re.fullmatch(STATUS, self.status):
            raise ValueError(
                f"status is {self.status!r}; give one such as 429, a class such as 4xx, or errors for 400 and above"
            )

    @property
    def statuses(self) -> tuple[int, int] | None:
        """The lowest and the highest status that are meant, or None for all."""
        if self.status is None:
            return None
        if self.status == "errors":
            return 400, MOST
        if self.status.endswith("xx"):
            lowest = int(self.status[0]) * 100
            return lowest, lowest + 99
        return int(self.status), int(self.status)


def lower_ascii(text: str) -> str:
    """The text with A to Z as a to z and all else as it is: what SQLite's ``lower`` does."""
    return text.encode().lower().decode()


def _check_text(name: str, text: str | None) -> None:
    if text is None:
        return
    if len(text) > MAX_FILTER_CHARS:
        raise ValueError(f"{name} has {len(text)} characters; give {MAX_FILTER_CHARS} at most")
    if "\0" in text or re.search("[\ud800-\udfff]", text):
        raise ValueError(f"{name} is {text!r}; no text in the log holds such a character")
