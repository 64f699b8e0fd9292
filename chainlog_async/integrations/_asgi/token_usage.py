"""Token counts reported by a provider, read from the sample of its response."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from chainlog_async.entry.model import MAX_COUNT

HEAD_BYTES = 16_384
"""How much of the start of a response is kept, in bytes: Anthropic's streams begin with the prompt tokens."""

TAIL_BYTES = 65_536
"""How much of the end of a response is kept, in bytes, at least; temporarily up to twice as much."""

MAX_USAGE_CHARS = 4096

# Starting with a literal makes the search fast, so `_found` checks the byte before it.
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_MODEL = re.compile(rb'"model"\s*:\s*(?="(?:[^"\\]|\\.){1,1024}")')

_decoder = json.JSONDecoder()


class ReportedUsage(NamedTuple):
    """Tokens as counted by the provider; None where it reported nothing."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None


class ResponseSample:
    """Both ends of a response, in bounded memory; never stored."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        """Appends the next chunk."""
        self._bytes += chunk
        if len(self._bytes) > HEAD_BYTES + 2 * TAIL_BYTES:
            # No JSON string holds a line break, so nothing is parsed across the gap.
            self._bytes[HEAD_BYTES:-TAIL_BYTES] = b"\n"

    def usage(self) -> ReportedUsage:
        """Returns the token counts in the response, which may be JSON or a stream of events.

        A stream may report them in parts, of which the first and the last count: OpenAI reports everything at the end,
        others repeat the sum in every chunk, Anthropic reports the prompt tokens first and the completion tokens last.
        """
        places = _found(_USAGE, self._bytes)
        fields: dict[str, object] = {}
        for place in dict.fromkeys(places[:1] + places[-1:]):
            part = self._bytes[place : place + MAX_USAGE_CHARS].decode("utf-8", "replace")
            fields.update({name: value for name, value in _object_at_start(part).items() if value is not None})
        return _usage_of(fields)

    def model(self) -> str | None:
        """Returns the first model that is named in the response, or None."""
        head = self._bytes[:HEAD_BYTES]
        for place in _found(_MODEL, head)[:1]:
            name = _value_at_start(head[place:].decode("utf-8", "replace"))
            return name if isinstance(name, str) else None
        return None


def _found(key: re.Pattern[bytes], answer: bytearray) -> list[int]:
    """Returns where the values of a key begin. In a JSON string its quotes are escaped, so it is not found there."""
    return [found.end() for found in key.finditer(answer) if answer[found.start() - 1 : found.start()] != b"\\"]


def _object_at_start(text: str) -> Mapping[str, object]:
    value = _value_at_start(text)
    return value if isinstance(value, dict) else {}


def _value_at_start(text: str) -> object:
    try:
        value, _end = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value


def _usage_of(fields: Mapping[str, object]) -> ReportedUsage:
    prompt, completion = _count(fields, "prompt_tokens"), _count(fields, "completion_tokens")
    cached = _count(fields, "prompt_cache_hit_tokens")
    for details in ("prompt_tokens_details", "input_tokens_details"):
        inner = fields.get(details)
        if isinstance(inner, Mapping) and cached is None:
            cached = _count(inner, "cached_tokens")
    if prompt is None:
        prompt = _count(fields, "input_tokens")
        # Anthropic's input_tokens exclude tokens read from or written to the cache.
        read, written = _count(fields, "cache_read_input_tokens"), _count(fields, "cache_creation_input_tokens")
        if prompt is not None:
            prompt += (read or 0) + (written or 0)
        cached = read if cached is None else cached
    if completion is None:
        completion = _count(fields, "output_tokens")
    return ReportedUsage(prompt, completion, _count(fields, "total_tokens"), cached)


def _count(fields: Mapping[str, object], name: str) -> int | None:
    value = fields.get(name)
    return value if type(value) is int and 0 <= value <= MAX_COUNT // 4 else None
