"""Values that no line can hold as they are, and what becomes of an entry with them."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from chainlog_async.entry.line import check_line
from chainlog_async.entry.model import ENTRY_FIELDS
from chainlog_async.entry.redaction import Redactor
from chainlog_async.entry.repair import REPAIRED_KEY, encode_repaired
from tests.support.entries import entry

CUT = "cut \ud83d"

SOUND = "cut \N{REPLACEMENT CHARACTER}"


class Whole:
    """A whole number as numpy has them: neither int nor float."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number


class Real(Whole):
    """A number that is not whole, or an array: it has ``__index__`` and refuses."""

    def __init__(self, number: float) -> None:
        self._real = number

    def __index__(self) -> int:
        raise TypeError("not an integer")

    def __float__(self) -> float:
        return self._real


class bool_(Real):  # noqa: N801  # the name that numpy gives it
    """A truth value of numpy's."""

    def __bool__(self) -> bool:
        return bool(self._real)


class Model(Enum):
    """A name as an enumeration has it."""

    LARGE = "large"


class Unreadable:
    """A value that cannot even be asked for its class."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)


class Hostile:
    """A value that raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]  # that is the point


class Mute:
    """A value without a text; unlike `Hostile`, hypothesis can show it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        return "mute"


class HostileMapping(dict[str, object]):
    """A dict of somebody's own that cannot be read."""

    def items(self) -> Any:  # noqa: ANN401  # it never returns
        """Fails."""
        raise RuntimeError("no items")


def repaired(**overrides: object) -> dict[str, Any]:
    """The fields of the line that such an entry becomes."""
    line, fields = encode_repaired(entry(**overrides), Redactor())
    check_line(line)
    values = dict(zip(ENTRY_FIELDS, json.loads(line), strict=False))
    assert values["metadata"][REPAIRED_KEY] == list(fields)
    return values
