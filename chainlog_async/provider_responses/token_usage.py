"""Token counts as providers report them, each in a shape of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chainlog_async.entry.model import MAX_COUNT

_PROMPT = (
    "prompt_tokens",
    "input_tokens",
    "promptTokenCount",
    "prompt_token_count",
    "inputTokens",
    "inputTokenCount",
    "inputTextTokenCount",
    "input_token_count",
    "input_length",
    "prompt_eval_count",
)
_COMPLETION = (
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "outputTokens",
    "outputTokenCount",
    "totalOutputTextTokenCount",
    "tokenCount",
    "output_token_count",
    "generated_token_count",
    "generation_token_count",
    "generated_tokens",
    "eval_count",
)
_TOTAL = ("total_tokens", "totalTokenCount", "total_token_count", "totalTokens")
_CACHED = (
    "prompt_cache_hit_tokens",
    "cached_tokens",
    "cachedContentTokenCount",
    "cached_content_token_count",
    "cache_read_input_tokens",
    "cacheReadInputTokens",
    "cacheReadInputTokenCount",
)
_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")

# Added to the prompt, because Anthropic's and Bedrock's prompt tokens leave out what the cache was read or written for.
_BESIDE_THE_PROMPT = {
    "input_tokens": ("cache_read_input_tokens", "cache_creation_input_tokens"),
    "inputTokens": ("cacheReadInputTokens", "cacheWriteInputTokens"),
    "inputTokenCount": ("cacheReadInputTokenCount", "cacheWriteInputTokenCount"),
    "promptTokenCount": ("toolUsePromptTokenCount",),
    "prompt_token_count": ("tool_use_prompt_token_count",),
}
# Added to the completion, because Gemini's leaves out the tokens of its thoughts.
_BESIDE_THE_COMPLETION = {
    "candidatesTokenCount": ("thoughtsTokenCount",),
    "candidates_token_count": ("thoughts_token_count",),
}


class ReportedUsage(NamedTuple):
    """Tokens as counted by the provider; None where it reported nothing."""

    prompt_tokens: int | None = None
    """Tokens of the prompt, those read from and written to a cache included."""
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None


class UsageFields:
    """The usage of one response, merged from all the places in which its provider reports a part of it."""

    def __init__(self) -> None:
        self._fields: dict[str, object] = {}

    def add(self, usage: object) -> None:
        """Merges a usage object; anything else is ignored. A later count replaces an earlier one, unless it is 0.

        Some repeat the sum in every event, Anthropic reports the prompt first and the completion last, and proxies fill
        what they do not know with zeros.
        """
        if isinstance(usage, dict):
            _merge(self._fields, usage)

    @property
    def fields(self) -> Mapping[str, object]:
        """All that was reported so far."""
        return self._fields

    def read(self) -> ReportedUsage:
        """Returns the counts, whatever the shape."""
        steps = self._fields.get("iterations")
        parts = [_read(step) for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
        if any(part.prompt_tokens or part.completion_tokens for part in parts):
            # Anthropic's top-level counts leave out what compacting the conversation took; the iterations have it all.
            return ReportedUsage(
                _sum([part.prompt_tokens for part in parts]),
                _sum([part.completion_tokens for part in parts]),
                None,
                _sum([part.cached_tokens for part in parts]),
            )
        for name in ("tokens", "billed_units"):
            # Cohere's shape.
            inner = self._fields.get(name)
            usage = _read({**self._fields, **inner}) if isinstance(inner, dict) else ReportedUsage()
            if usage.prompt_tokens or usage.completion_tokens:
                return usage
        return _read(self._fields)


def _merge(fields: dict[str, object], later: Mapping[str, object]) -> None:
    for name, value in later.items():
        before = fields.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            _merge(before, value)
        elif isinstance(value, dict):
            fields[name] = dict(value)
        elif before is None or (isinstance(value, list) and value) or count_of(later, name) or _is_amount(value):
            fields[name] = value


def _is_amount(value: object) -> bool:
    return isinstance(value, float) and value > 0


def _read(fields: Mapping[str, object]) -> ReportedUsage:
    prompt = _first(fields, _PROMPT, _BESIDE_THE_PROMPT)
    completion = _first(fields, _COMPLETION, _BESIDE_THE_COMPLETION)
    total = _first(fields, _TOTAL, {})
    reasoning = count_of(as_mapping(fields.get("completion_tokens_details")), "reasoning_tokens")
    if reasoning and total is not None and total == (prompt or 0) + (completion or 0) + reasoning:
        # xAI's completion leaves out the reasoning, the total does not.
        completion = (completion or 0) + reasoning
    if total is not None and total < (prompt or 0) + (completion or 0):
        # It leaves out the cache, or was filled with a zero.
        total = None
    details = [fields.get(name) for name in _DETAILS]
    cached = [count_of(inner, "cached_tokens") for inner in details if isinstance(inner, dict)]
    cached.append(_first(fields, _CACHED, {}))
    return ReportedUsage(prompt, completion, total, max((count for count in cached if count is not None), default=None))


def _first(fields: Mapping[str, object], names: tuple[str, ...], beside: Mapping[str, tuple[str, ...]]) -> int | None:
    """Returns the first positive count under one of these names, with what belongs beside it; else 0 or None."""
    zero: int | None = None
    for name in names:
        count = count_of(fields, name)
        if count is None and beside is not _BESIDE_THE_COMPLETION:
            continue
        count = (count or 0) + sum(count_of(fields, other) or 0 for other in beside.get(name, ()))
        if count:
            return count
        zero = zero if count_of(fields, name) is None else 0
    return zero


def count_of(fields: Mapping[str, object], name: str) -> int | None:
    """Returns the count of that name; None for anything that is no count."""
    value = fields.get(name)
    if isinstance(value, str):
        value = int(value) if len(value) <= 20 and value.isascii() and value.isdigit() else None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_COUNT // 4 else None


def as_mapping(value: object) -> Mapping[str, object]:
    """Returns a mapping; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
