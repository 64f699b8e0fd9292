"""Reads attributes from the bytes of a ``KeyValue``, and only those that are wanted.

The usual ones, a short name and a short text or a number, are read right here; anything else by protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from .mapping import Attributes, Value

# A field's number and kind: key 1 and value 2 of a KeyValue, and the text 1 and the whole number 3 of an AnyValue.
_KEY, _VALUE, _TEXT, _INT = 0x0A, 0x12, 0x0A, 0x18

MAX_REMEMBERED: Final = 4_096
MAX_REMEMBERED_BYTES: Final = 96
"""How many attributes are remembered as they were read, and how long they may be: most come again in every span."""

_remembered: dict[bytes, tuple[str, Value]] = {}


def wanted_attributes(attributes: Iterable[bytes], wanted: frozenset[str]) -> Attributes:
    """Returns the attributes with a wanted name; of an array its first element.

    Raises `google.protobuf.message.DecodeError`.
    """
    found: dict[str, Value] = {}
    remembered = _remembered
    for raw in attributes:
        if raw in remembered:
            name, value = remembered[raw]
            if name in wanted:
                found[name] = value
            continue
        size = len(raw)
        # A short name first, as every encoder writes it.
        end = raw[1] + 2 if size > 2 and raw[0] == _KEY and raw[1] < 0x80 else 0
        if not end or end > size:
            _add_odd(found, raw, wanted)
            continue
        name = raw[2:end].decode("utf-8", "replace")
        if name not in wanted:
            continue
        value = found[name] = _value_of(raw, end)
        if size <= MAX_REMEMBERED_BYTES:
            if len(remembered) >= MAX_REMEMBERED:
                remembered.clear()
            remembered[raw] = name, value
    return found


def _value_of(raw: bytes, start: int) -> Value:
    size = len(raw)
    # The value, its length, the kind of what is in it, and at least one byte of that; nothing after it.
    if size > start + 3 and raw[start] == _VALUE and raw[start + 1] == size - start - 2 < 0x80:
        kind, content = raw[start + 2], start + 3
        if kind == _TEXT and raw[content] == size - content - 1:
            return raw[content + 1 :].decode("utf-8", "replace")
        if kind == _INT and (number := _varint(raw, content)) is not None:
            return number
    return any_value(KeyValue.FromString(raw).value)


def _varint(raw: bytes, start: int) -> int | None:
    """Returns the number that fills the rest; None for a negative one, or none at all."""
    number = shift = 0
    for byte in raw[start:-1]:
        if byte < 0x80 or shift > 49:
            return None
        number |= (byte & 0x7F) << shift
        shift += 7
    last = raw[-1]
    return number | last << shift if last < 0x80 else None


def _add_odd(found: dict[str, Value], raw: bytes, wanted: frozenset[str]) -> None:
    item = KeyValue.FromString(raw)
    if item.key in wanted:
        found[item.key] = any_value(item.value)


def any_value(value: AnyValue) -> Value:
    """Returns a value, of an array its first element; None for bytes, lists of attributes, and nothing."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bool_value":
            return value.bool_value
        case "array_value" if value.array_value.values:
            return any_value(value.array_value.values[0])
        case _:
            return None
