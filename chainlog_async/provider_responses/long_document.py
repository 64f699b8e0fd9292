"""A JSON document in bounded memory: of a long one the short members around the content are kept."""

from __future__ import annotations

import re
from collections.abc import Callable

from .envelope import ENVELOPE_NAMES, FIELD_NAMES, USAGE_NAMES
from .loose_json import decode_any

MAX_DOCUMENT_BYTES = 131_072
"""Longest document, or element of an array, that is kept whole, in bytes."""

MAX_MEMBER_BYTES = 4_096
"""Longest member that is kept of a document that is longer, in bytes."""

MAX_USAGE_BYTES = 131_072
"""Longest usage that is kept of it, in bytes: some have a part for each of many iterations or modalities."""

_PREFIX = re.compile(rb"(?:\xef\xbb\xbf)?(?:data:)?[ \t\r\n]*")
_NEXT_AT_TOP = re.compile(rb'["{}\[\],]')
_NEXT_BELOW = re.compile(rb'["{}\[\]]')
_TOKENS_BELOW = (b"]", b'"', b"{", b"}", b"[")
_NEAR_BYTES = 512
"""How far the next of them is looked for at once; further on, each alone is found in a tenth of the time."""
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_MEMBER = re.compile(rb'\s*"((?:[^"\\]|\\.){0,100})"\s*:\s*', re.DOTALL)


class JsonSplitter:
    """Splits a JSON object into members, or an array into elements, while it arrives in chunks.

    Each part up to ``max_part`` bytes is given to ``on_part`` without the comma; a longer one is given to
    ``on_long_part``, piece by piece, if that returns a function for it when it is called with the start.
    """

    def __init__(
        self,
        on_part: Callable[[bytes], None],
        on_long_part: Callable[[bytes], Callable[[bytes], None] | None],
        max_part: int,
    ) -> None:
        self.is_closed = False
        """Whether the end of the object or array has arrived."""
        self.has_rest = False
        """Whether anything but space follows the end; NUL is half of a space in UTF-16."""
        self._on_part = on_part
        self._on_long_part = on_long_part
        self._max_part = max_part
        self._part = bytearray()
        self._take: Callable[[bytes], None] | None = self._keep
        self._depth = 0
        self._is_in_string = False
        self._is_escaped = False

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk."""
        place = start = 0
        if self._is_escaped and chunk:
            place, self._is_escaped = 1, False
        while not self.is_closed:
            if self._is_in_string:
                place = self._end_of_string(chunk, place)
                if place < 0:
                    break
            found = _next_at_top(chunk, place) if self._depth == 1 else _next_below(chunk, place)
            if found < 0:
                break
            place = found + 1
            start = self._note(chunk[found:place], chunk, start, place)
        if self.is_closed:
            self.has_rest = self.has_rest or bool(chunk[place:].strip(b" \t\r\n\0"))
        elif self._take is not None and start < len(chunk) and self._depth:
            self._take(chunk[start:])

    def _end_of_string(self, chunk: bytes, place: int) -> int:
        """Returns the place after the string that has begun; -1 if it goes on in the next chunk."""
        end = chunk.find(b'"', place) + 1
        if end and chunk.find(b"\\", place, end) >= 0:
            closing = _REST_OF_STRING.match(chunk, place)
            end = 0 if closing is None else closing.end()
        if end:
            self._is_in_string = False
            return end
        rest = chunk[place:]
        self._is_escaped = (len(rest) - len(rest.rstrip(b"\\"))) % 2 == 1
        return -1

    def _note(self, token: bytes, chunk: bytes, start: int, place: int) -> int:
        """Notes a structural character that ends at this place; returns where the current part starts in the chunk."""
        if token == b'"':
            self._is_in_string = True
        elif token in b"{[":
            self._depth += 1
            return place if self._depth == 1 else start
        elif token == b",":
            self._end_part(chunk[start : place - 1])
            return place
        else:
            self._depth -= 1
            if self._depth <= 0:
                self._end_part(chunk[start : place - 1])
                self.is_closed = True
        return start

    def _end_part(self, last: bytes) -> None:
        if self._take is not None:
            self._take(last)
        if self._take == self._keep and self._part:
            self._on_part(bytes(self._part))
        self._part.clear()
        self._take = self._keep

    def _keep(self, piece: bytes) -> None:
        self._part += piece
        if len(self._part) > self._max_part:
            self._take = self._on_long_part(bytes(self._part))
            self._part.clear()


class LongObject:
    """What is kept of a JSON object that is too long: the short members of an envelope, and of one within it."""

    def __init__(self, *, is_inner: bool = False) -> None:
        self._is_inner = is_inner
        self._members: dict[str, bytes] = {}
        self._inner: dict[str, LongObject] = {}
        self._usages: dict[str, bytearray] = {}
        self._splitter = JsonSplitter(self._note_member, self._begin_member, MAX_MEMBER_BYTES)
        self.add = self._splitter.add

    @property
    def is_closed(self) -> bool:
        """Whether the object has its end, and nothing follows it."""
        return self._splitter.is_closed and not self._splitter.has_rest

    def as_json(self) -> bytes:
        """Returns the members that are kept, as a JSON object."""
        members = self._members | {name: inner.as_json() for name, inner in self._inner.items()}
        # One that is longer, or was cut short, is no JSON.
        members |= {name: bytes(usage) for name, usage in self._usages.items() if decode_any(bytes(usage)) is not None}
        return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in members.items()) + b"}"

    def _note_member(self, member: bytes) -> None:
        key = _MEMBER.match(member)
        if key is not None and (name := _name_of(key[1])) in FIELD_NAMES:
            self._inner.pop(name, None)
            self._usages.pop(name, None)
            self._members[name] = member[key.end() :]

    def _begin_member(self, start: bytes) -> Callable[[bytes], None] | None:
        key = _MEMBER.match(start)
        if key is None or start[key.end() : key.end() + 1] != b"{":
            return None
        name = _name_of(key[1])
        if name in USAGE_NAMES:
            return self._begin_usage(name, start[key.end() :])
        if self._is_inner or name not in ENVELOPE_NAMES:
            return None
        inner = LongObject(is_inner=True)
        self._members.pop(name, None)
        self._inner[name] = inner
        inner.add(start[key.end() :])
        return inner.add

    def _begin_usage(self, name: str, start: bytes) -> Callable[[bytes], None]:
        kept = self._usages[name] = bytearray(start)
        self._members.pop(name, None)

        def add(piece: bytes) -> None:
            if len(kept) <= MAX_USAGE_BYTES:
                kept.extend(piece[: MAX_USAGE_BYTES + 1 - len(kept)])

        return add


class Document:
    """A JSON document, or a line that holds one, that arrives in chunks; never stored."""

    def __init__(self) -> None:
        self.is_long = False
        self._bytes = bytearray()
        self._long: LongObject | None = None

    def __bool__(self) -> bool:
        return self.is_long or bool(self._bytes)

    def add(self, chunk: bytes) -> None:
        """Appends the next chunk."""
        if self.is_long:
            if self._long is not None:
                self._long.add(chunk)
            return
        self._bytes += chunk
        if len(self._bytes) > MAX_DOCUMENT_BYTES:
            self.is_long = True
            data = bytes(self._bytes)
            place = _PREFIX.match(data).end()  # type: ignore[union-attr]  # it matches nothing as well
            del self._bytes[:]
            if data[place : place + 1] == b"{":
                self._long = LongObject()
                self._long.add(data[place:])

    def is_object(self) -> bool:
        """Whether a long document is an object, or the data of an event that are one."""
        return self._long is not None

    def is_complete(self) -> bool:
        """Whether a long document has its end; what is no object is not judged."""
        return self._long is None or self._long.is_closed

    def read(self) -> bytes:
        """Returns the document; of a long one what is kept of it, as JSON."""
        if not self.is_long:
            return bytes(self._bytes)
        return b"" if self._long is None else self._long.as_json()


def _next_at_top(chunk: bytes, place: int) -> int:
    """Returns where the next structural character is; -1 if there is none."""
    found = _NEXT_AT_TOP.search(chunk, place)
    return -1 if found is None else found.start()


def _next_below(chunk: bytes, place: int) -> int:
    """Returns where the next one is that is no comma, which may be far away: behind the numbers of an embedding."""
    near = _NEXT_BELOW.search(chunk, place, place + _NEAR_BYTES)
    if near is not None:
        return near.start()
    place, size = place + _NEAR_BYTES, _NEAR_BYTES
    while place < len(chunk):
        # As much again as was passed over, so that no byte is looked at often.
        end = place + size
        for token in _TOKENS_BELOW:
            found = chunk.find(token, place, end)
            end = end if found < 0 else found
        if end < place + size:
            return end
        place, size = end, 2 * size
    return -1


def _name_of(key: bytes) -> str:
    return str(decode_any(b'"%s"' % key)) if b"\\" in key else key.decode("latin-1")
