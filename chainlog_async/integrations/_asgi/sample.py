"""A document in bounded memory: of a long one both ends are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from .envelope import Envelope, read_envelope

HEAD_BYTES = 16_384
"""How much of the start of a long document is kept, in bytes: it names the model."""

TAIL_BYTES = 65_536
"""How much of the end of a long document is kept, in bytes, at least; temporarily up to twice as much."""

MAX_USAGE_CHARS = 4_096

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
# Within a JSON string every quote has a backslash before it, so this is a key, wherever the search begins.
_USAGE = re.compile(rb'(?<!\\)"usage(?:Metadata)?"\s*:\s*(?=\{)')
_VALUE = re.compile(rb"\s*:\s*")
_INNER_RESPONSE = re.compile(rb'(?:data:)?\s*\{[^{}\[\]]*"response"\s*:\s*\{')

_decoder = json.JSONDecoder()


class DocumentSample:
    """A JSON document that arrives in chunks; never stored."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._is_cut = False

    def __len__(self) -> int:
        return len(self._bytes)

    def add(self, chunk: bytes) -> None:
        """Appends the next chunk."""
        self._bytes += chunk
        if len(self._bytes) > HEAD_BYTES + 2 * TAIL_BYTES:
            self._is_cut = True
            del self._bytes[HEAD_BYTES:-TAIL_BYTES]

    def whole(self) -> bytes | None:
        """Returns the document, or None when it was too long to be kept."""
        return None if self._is_cut else bytes(self._bytes)

    def envelopes(self) -> list[Envelope]:
        """Returns what is around the content: all of it, or what the two ends of a long document tell."""
        data = bytes(self._bytes)
        return [_read_ends(data[:HEAD_BYTES], data[HEAD_BYTES:])] if self._is_cut else read_envelope(data)


def _read_ends(head: bytes, tail: bytes) -> Envelope:
    depth = 2 if _INNER_RESPONSE.match(head) else 1
    envelope = Envelope()
    for key, value in _values_in_head(head, depth):
        if key == b'"model"' and envelope.model is None:
            envelope.model = value
        elif key in (b'"usage"', b'"usageMetadata"') and isinstance(value, dict):
            envelope.usage = value
    return msgspec.structs.replace(envelope, usage_metadata=_usage_in_tail(tail, depth))


def _values_in_head(head: bytes, depth: int) -> Iterator[tuple[bytes, object]]:
    now = 0
    for token in _TOKEN.finditer(head):
        text = token[0]
        now += (text in b"{[") - (text in b"}]")
        if now == depth and text in (b'"model"', b'"usage"', b'"usageMetadata"'):
            place = _VALUE.match(head, token.end())
            if place is not None:
                yield text, _value_at(head, place.end())


def _usage_in_tail(tail: bytes, depth: int) -> object:
    """Returns the last usage whose key is at this depth, counted from the end, where the document is closed."""
    first = _USAGE.search(tail)
    if first is None:
        return None
    now, found = 0, []
    for token in _TOKEN.finditer(tail, first.start()):
        text = token[0]
        now += (text in b"{[") - (text in b"}]")
        if text.startswith(b'"usage') and (key := _USAGE.match(tail, token.start())) is not None:
            found.append((now, key.end()))
    return next((_value_at(tail, place) for before, place in reversed(found) if before - now == depth), None)


def _value_at(data: bytes, place: int) -> object:
    try:
        value, _end = _decoder.raw_decode(data[place : place + MAX_USAGE_CHARS].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value
