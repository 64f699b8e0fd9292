"""Request bodies: read up to a limit, and split into the JSON documents that they hold."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable

import msgspec
from starlette.requests import Request

from .responses import ApiError

LINE_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
JSON_SPACE = b" \t\r\n"

# Splitting a large array undecoded is several times faster than building all of its dictionaries at once.
_array = msgspec.json.Decoder(list[msgspec.Raw])
_document = msgspec.json.Decoder(msgspec.Raw)

Document = tuple[int, bytes]


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Returns the whole body.

    Raises `ApiError`: 413 as soon as it is longer than ``max_bytes``, 415 when it is compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "send the body uncompressed, without Content-Encoding", "unsupported_encoding")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > max_bytes):
        raise _too_large(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def split_documents(body: bytes, content_type: str) -> Iterable[Document]:
    """Returns the JSON documents in ``body``, not decoded, each with its index.

    The index counts the elements of the array, or the lines, from 0. The body is one document, an array, or NDJSON,
    whose blank lines count but hold nothing. It is NDJSON when ``content_type`` says so, or when it is not one document
    but its first line is an object.

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
        if _begins_with_object_line(body):
            return _lines(body)
        if isinstance(elements := _loosely_decoded(body), list):
            # Each with its fault still in it, so that it is rejected by itself.
            return ((index, json.dumps(element).encode()) for index, element in enumerate(elements))
        raise ApiError(
            400,
            f"the body is not JSON ({error}); send an entry, an array of entries, or NDJSON as application/x-ndjson",
            "invalid_json",
        ) from error


def _lines(body: bytes) -> Iterable[Document]:
    return ((number, line) for number, line in enumerate(body.split(b"\n")) if line.strip(JSON_SPACE))


def _begins_with_object_line(body: bytes) -> bool:
    first = body.lstrip(JSON_SPACE).partition(b"\n")[0]
    return first.startswith(b"{") and isinstance(_loosely_decoded(first), dict)


def _loosely_decoded(body: bytes) -> object:
    """Decodes JSON that may hold lone surrogates, such as half an emoji, which msgspec refuses; else returns None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(
        413,
        f"the body is longer than {max_bytes} bytes; send fewer entries at a time, or raise server.max_body_bytes",
        "body_too_large",
    )
