"""Request bodies: read within limits, and split into the JSON documents that they hold."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio
import msgspec
from starlette.requests import Request

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.entry.json_input import json_value
from chainlog_async.errors import InvalidEntryError
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.settings import ServerSettings
from chainlog_async.wire.batches import TOO_LARGE, InflateError, Inflater

from .responses import ApiError, closing_headers

RETRY_AFTER_S = 1

LINE_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
JSON_SPACE = b" \t\r\n"

INFLATE_BYTES = 1024 * 1024
"""How much of a compressed body is decompressed at a time, in bytes."""

# Splitting a large array undecoded is several times faster than building all of its dictionaries at once.
_array = msgspec.json.Decoder(list[msgspec.Raw])
_document = msgspec.json.Decoder(msgspec.Raw)

Document = tuple[int, bytes]


class _Held:
    """What one body counts among all."""

    def __init__(self, counters: ServiceCounters) -> None:
        self._counters = counters
        self.size = 0
        """In bytes."""

    def become(self, size: int) -> None:
        """Counts it as so many bytes."""
        self._counters.body_bytes += size - self.size
        self.size = size


class BodyLimits:
    """How large one body may be, how long it may take to arrive, and how much all of them may hold at once."""

    def __init__(self, settings: ServerSettings, counters: ServiceCounters) -> None:
        self._max_bytes = settings.max_body_bytes
        # A body of the largest size is accepted when it is the only one.
        self._max_held = max(settings.max_buffered_bytes, settings.max_body_bytes)
        self._timeout_ms = settings.body_timeout_ms
        self._counters = counters

    @asynccontextmanager
    async def received(self, request: Request, *, gzip: bool = False) -> AsyncIterator[bytes]:
        """Yields the whole body, which counts as held until the block ends; `gzip` says that it is a gzip file.

        One with ``Content-Encoding: gzip`` is decompressed too. Raises `ApiError`: 413 as soon as it is longer than
        allowed, compressed or not, 415 when it is compressed in another way, 400 when it is no gzip file, 503 when all
        bodies together hold too much, and 408 when it does not arrive in time.
        """
        match request.headers.get("content-encoding", "identity").strip().lower():
            case "identity" | "":
                pass
            case "gzip" | "x-gzip" if not gzip:
                gzip = True
            case _:
                raise ApiError(
                    415, "send the body uncompressed, or with Content-Encoding: gzip", "unsupported_encoding"
                )
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > self._max_bytes):
            raise self._too_large()
        held = _Held(self._counters)
        try:
            with anyio.move_on_after(self._timeout_ms / 1000) as waiting:
                body = await self._read(request, held)
            if waiting.cancelled_caught:
                raise self._too_slow(request)
            yield await self._inflated(body, held) if gzip else body
        finally:
            held.become(0)

    async def _read(self, request: Request, held: _Held) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            size = len(body) + len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            if size > self._room(held):
                raise self._too_many()
            held.become(size)
            body += chunk
        return bytes(body)

    async def _inflated(self, body: bytes, held: _Held) -> bytes:
        inflater, plain = Inflater(body), bytearray()
        while not inflater.is_done:
            # One byte more than fits tells a body that is too large. What is read counts before it is there: bodies
            # that inflate at the same time share the room.
            room = min(self._room(held), self._max_bytes)
            size = min(INFLATE_BYTES, max(room - len(plain), 0) + 1)
            held.become(max(held.size, min(len(plain) + size, room)))
            try:
                plain += await run_in_thread(inflater.read, size)
            except InflateError as error:
                raise ApiError(400, f"{error}; send it again", "invalid_encoding") from None
            if len(plain) > room:
                raise self._too_large() if len(plain) > self._max_bytes else self._too_many()
        held.become(len(plain))
        return bytes(plain)

    def _room(self, held: _Held) -> int:
        """How large this body may become beside the others, in bytes."""
        return self._max_held - (self._counters.body_bytes - held.size)

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"the body is longer than {self._max_bytes} bytes; send fewer entries at a time, or raise "
            "server.max_body_bytes",
            TOO_LARGE,
        )

    def _too_many(self) -> ApiError:
        self._counters.refused["bodies"] += 1
        return ApiError(
            503,
            f"the request bodies being received hold {self._max_held} bytes already; send it again later, or raise "
            "server.max_buffered_bytes",
            "too_many_bodies",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )

    def _too_slow(self, request: Request) -> ApiError:
        self._counters.disconnected["body_timeout"] += 1
        return ApiError(
            408,
            f"the body did not arrive within {self._timeout_ms} ms; send fewer entries at a time, or raise "
            "server.body_timeout_ms",
            "body_timeout",
            headers=closing_headers(request),
        )


def split_documents(body: bytes, content_type: str) -> Iterable[Document]:
    """Returns the JSON documents in ``body``, not decoded, each with its index.

    The index counts the elements of the array, or the lines, from 0. The body is one document, an array, or NDJSON,
    whose blank lines count but hold nothing. It is NDJSON when ``content_type`` says so, or when it is not one document
    but its first line is an object, or looks like one.

    Raises `ApiError` (400) when the body is empty or none of these.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body.strip(JSON_SPACE):
        raise ApiError(400, "the body is empty; send an entry, an array of entries, or NDJSON", "empty_body")
    if content_type.partition(";")[0].strip().lower() in LINE_TYPES:
        return _lines(body)
    try:
        if body.lstrip(JSON_SPACE).startswith(b"["):
            return ((index, bytes(raw)) for index, raw in enumerate(_array.decode(body)))
        return [(0, bytes(_document.decode(body)))]
    except (msgspec.DecodeError, RecursionError) as error:
        # With the fault still in it, which one entry has to answer for.
        value = _loosely_decoded(body)
        if isinstance(value, list):
            return ((index, json.dumps(element).encode()) for index, element in enumerate(value))
        if isinstance(value, dict):
            return [(0, body)]
        if _begins_with_object_line(body):
            return _lines(body)
        raise ApiError(
            400,
            f"the body is not JSON ({error}); send an entry, an array of entries, or NDJSON as application/x-ndjson",
            "invalid_json",
        ) from error


def _lines(body: bytes) -> Iterable[Document]:
    return ((number, line) for number, line in enumerate(body.split(b"\n")) if line.strip(JSON_SPACE))


def _begins_with_object_line(body: bytes) -> bool:
    """Returns whether the first of several lines is an object, even one that cannot be read."""
    first, _, rest = body.strip(JSON_SPACE).partition(b"\n")
    return bool(rest) and first.startswith(b"{") and first.rstrip(JSON_SPACE).endswith(b"}")


def _loosely_decoded(body: bytes) -> object:
    """Decodes JSON that may hold what msgspec refuses, such as half an emoji or NaN; else returns None."""
    try:
        return json_value(body)
    except InvalidEntryError:
        return None
