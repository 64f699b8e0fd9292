"""Numbers of any type, such as numpy's, as those that JSON has."""

from __future__ import annotations

import math
import operator
from numbers import Complex, Real
from typing import SupportsFloat, SupportsIndex

_NO_NUMBERS = (str, bytes, bytearray)


def as_number(value: object) -> int | float | None:
    """Returns a number as an int or a finite float; None for anything else. Never raises.

    A number is whatever converts itself by ``__index__`` or ``__float__``, such as numpy's types, Decimal and Fraction;
    a text, a truth value and a complex number are none.
    """
    if is_flag(value) or isinstance(value, _NO_NUMBERS):
        return None
    if isinstance(value, int):
        return int.__int__(value)
    try:
        if isinstance(value, SupportsIndex) and (whole := _index(value)) is not None:
            return whole
        if not isinstance(value, SupportsFloat) or (isinstance(value, Complex) and not isinstance(value, Real)):
            return None
        number = float(value)
    except Exception:  # noqa: BLE001  # an object of somebody else's may fail in any way
        return None
    return number if math.isfinite(number) else None


def is_flag(value: object) -> bool:
    """Returns whether a value is a bool, or numpy's; its type is called ``bool`` or, before numpy 2, ``bool_``."""
    return isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}


def _index(value: SupportsIndex) -> int | None:
    """Returns a whole number exactly; an array has ``__index__`` as well, and refuses."""
    try:
        return operator.index(value)
    except TypeError:
        return None
