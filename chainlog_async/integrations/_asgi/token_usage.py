"""The tokens that a provider reports, read out of what was kept of its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from chainlog_async.entry.model import MAX_COUNT

HEAD_BYTES = 16_384
"""How much of an answer's beginning is kept: Anthropic's streams begin with the prompt's tokens."""

TAIL_BYTES = 65_536
"""How much of an answer's end is kept, at least; up to twice that in between."""

MAX_USAGE_CHARS = 4096

# A literal at the beginning is what makes a search fast, so the byte before it is looked at by `_found`.
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_MODEL = re.compile(rb'"model"\s*:\s*(?="(?:[^"\\]|\\.){1,1024}")')

_decoder = json.JSONDecoder()


class ReportedUsage(NamedTuple):
    """Tokens as the provider counted them; None where it said nothing."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None


class ResponseSample:
    """The two ends of an answer, in bounded memory; never stored."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        """Takes in the next part."""
        self._bytes += chunk
        if len(self._bytes) > HEAD_BYTES + 2 * TAIL_BYTES:
            # A line break is what no JSON string can hold, so that nothing is read across the gap.
            self._bytes[HEAD_BYTES:-TAIL_BYTES] = b"\n"

    def usage(self) -> ReportedUsage:
        """What the answer says of its tokens, be it JSON or a stream of events.

        A stream may tell it in parts, the first and the last of which count: OpenAI's tells all at the end, others
        repeat the sum in every chunk, Anthropic's tells the prompt's tokens first and the completion's last.
        """
        places = _found(_USAGE, self._bytes)
        fields: dict[str, object] = {}
        for place in dict.fromkeys(places[:1] + places[-1:]):
            part = self._bytes[place : place + MAX_USAGE_CHARS].decode("utf-8", "replace")
            fields.update({name: value for name, value in _object_at_start(part).items() if value is not None})
        return _usage_of(fields)

    def model(self) -> str | None:
        """The first model that is named in the answer."""
        head = self._bytes[:HEAD_BYTES]
        for place in _found(_MODEL, head)[:1]:
            name = _value_at_start(head[place:].decode("utf-8", "replace"))
            return name if isinstance(name, str) else None
        return None


def _found(key: re.Pattern[bytes], answer: bytearray) -> list[int]:
    """Where the values of a key begin. Inside a text its quotes are escaped, and do not count."""
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
        # Anthropic's input_tokens are those that the cache had nothing to do with.
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
