"""Batches on the wire: `POST /v1/batches/{writer}` and its relatives.

A body is the lines of a batch as they are in the journal, compressed. The server stores what it does not have yet, and
answers how far that writer's stream is committed.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from chainlog_async.entry.model import ENTRY_FIELDS

PROTOCOL: Final = 1
"""Version of what is described here."""

BATCHES_PATH: Final = "/v1/batches"

WRITER_ID: Final = "[A-Za-z0-9_-]{1,64}"
"""Pattern of a writer's id."""

LINE_FIELDS: Final = len(ENTRY_FIELDS)
"""How many fields a line may have: a server that knows fewer would lose the others, and so refuses the batch."""

ROW_REFUSED: Final = "row_refused"
"""Code of the answer 422: nothing of the batch was stored, because the server cannot store one of its rows."""

TOO_LARGE: Final = "body_too_large"
"""Code of the answer 413 of a `chainlog serve`; a proxy in front of it has none."""

MAX_REJECTED_BYTES: Final = 16 * 1024
"""How much of a rejected line is sent, in bytes."""

MIN_REJECTED_BYTES: Final = 256
"""How much of it, and of the reason, is sent to a server that takes no more: it takes 1 KiB at least."""

_GZIP = 31
"""zlib's `wbits` for gzip."""


class StreamPosition(msgspec.Struct, frozen=True):
    """How far a writer's stream is committed."""

    protocol: int
    """Version of the exchange, 1."""
    writer: str
    """The writer that was asked about."""
    position: int
    """In bytes; 0 when nothing is."""


class Rejection(msgspec.Struct, frozen=True):
    """A row that the server could not store, to be kept apart."""

    end: int
    """The position after it."""
    line: bytes
    """The line, or its beginning, in base64."""
    error: str
    """Why it could not be stored."""


class InflateError(ValueError):
    """A body that is not gzip, is cut short, or has something after its end."""


def compress(lines: bytes) -> bytes:
    """Compresses lines with gzip at its fastest level; they shrink to a third or less."""
    compressor = zlib.compressobj(level=1, wbits=_GZIP)
    return compressor.compress(lines) + compressor.flush()


class Inflater:
    """Decompresses a body piece by piece, so that it never holds more than it is allowed to."""

    def __init__(self, body: bytes) -> None:
        self._rest = body
        self._decompressor = zlib.decompressobj(wbits=_GZIP)

    @property
    def is_done(self) -> bool:
        """Whether the whole body was read."""
        return self._decompressor.eof

    def read(self, max_bytes: int) -> bytes:
        """Returns the next bytes, at most so many; fewer only at the end. Raises `InflateError`."""
        try:
            piece = self._decompressor.decompress(self._rest, max_bytes)
        except zlib.error as error:
            raise InflateError(f"the body is not gzip: {error}") from None
        self._rest = self._decompressor.unconsumed_tail
        is_cut = not self.is_done and not self._rest and len(piece) < max_bytes
        if is_cut or self._decompressor.unused_data:
            raise InflateError("the body is cut short, or goes on after its end")
        return piece
