"""Parts of the prompt and the completion that cost more or less than the rest, as providers report them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from chainlog_async.entry.model import MAX_COST_USD

from .token_usage import as_mapping, count_of

_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_WRITTEN = ("cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount")
_WRITTEN_DETAILS = ("cache_write_tokens", "cache_creation_tokens")
_REASONING = ("thoughtsTokenCount", "thoughts_token_count", "reasoning_tokens")
_REASONING_DETAILS = ("reasoning_tokens", "thinking_tokens")
_PROMPT_MODALITIES = ("promptTokensDetails", "prompt_tokens_details")
_COMPLETION_MODALITIES = ("candidatesTokensDetails", "candidates_tokens_details")


class TokenClasses(TypedDict, total=False):
    """Counts under the names of an entry; those that the provider did not report are missing."""

    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    reasoning_tokens: int | None
    prompt_audio_tokens: int | None
    completion_audio_tokens: int | None


def read_classes(usage: Mapping[str, object]) -> TokenClasses:
    """Returns the counts of a usage object, whatever the shape; of Anthropic's iterations their sum."""
    steps = usage.get("iterations")
    parts = [_read(step) for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    found = _read(usage)
    for name in found if any(map(_is_any, parts)) else ():
        found[name] = _sum([part[name] for part in parts])
    return TokenClasses(
        cache_write_tokens=found["written"],
        cache_write_1h_tokens=found["written for an hour"],
        reasoning_tokens=found["reasoning"],
        prompt_audio_tokens=found["audio in"],
        completion_audio_tokens=found["audio out"],
    )


def read_cost(usage: Mapping[str, object]) -> float | None:
    """Returns what the provider says it charges, in US dollars, as OpenRouter and Perplexity do.

    With a key of the client's own, OpenRouter charges a fee, and the provider behind it the rest.
    """
    told = usage.get("cost")
    cost = _amount(told.get("total_cost") if isinstance(told, dict) else told)
    if cost is None or usage.get("is_byok") is not True:
        return cost
    return cost + (_amount(as_mapping(usage.get("cost_details")).get("upstream_inference_cost")) or 0)


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MAX_COST_USD else None


def _read(usage: Mapping[str, object]) -> dict[str, int | None]:
    asked = [as_mapping(usage.get(name)) for name in _PROMPT_DETAILS]
    answered = [as_mapping(usage.get(name)) for name in _COMPLETION_DETAILS]
    return {
        "written": _largest([usage], _WRITTEN, asked, _WRITTEN_DETAILS),
        "written for an hour": _written_for_an_hour(usage),
        "reasoning": _largest([usage], _REASONING, answered, _REASONING_DETAILS),
        "audio in": _largest(asked, ("audio_tokens",), _modalities(usage, _PROMPT_MODALITIES), ("audio",)),
        "audio out": _largest(answered, ("audio_tokens",), _modalities(usage, _COMPLETION_MODALITIES), ("audio",)),
    }


def _written_for_an_hour(usage: Mapping[str, object]) -> int | None:
    """Anthropic tells it by a name, Bedrock by the time to live of each part."""
    parts = usage.get("cacheDetails")
    for part in parts if isinstance(parts, list) else ():
        if as_mapping(part).get("ttl") == "1h":
            return count_of(as_mapping(part), "inputTokens")
    return count_of(as_mapping(usage.get("cache_creation")), "ephemeral_1h_input_tokens")


def _modalities(usage: Mapping[str, object], names: Sequence[str]) -> list[Mapping[str, object]]:
    """Gemini's lists of counts by modality, as mappings."""
    found: list[Mapping[str, object]] = []
    for name in names:
        parts = usage.get(name)
        for part in map(as_mapping, parts) if isinstance(parts, list) else ():
            modality, count = part.get("modality"), part.get("tokenCount", part.get("token_count"))
            if isinstance(modality, str):
                found.append({modality.lower(): count})
    return found


def _largest(
    places: Sequence[Mapping[str, object]],
    names: Sequence[str],
    others: Sequence[Mapping[str, object]],
    other_names: Sequence[str],
) -> int | None:
    """A provider may tell one count in several places, and gateways fill some of them with zeros."""
    counts = [count_of(place, name) for place in places for name in names]
    counts += [count_of(place, name) for place in others for name in other_names]
    return max((count for count in counts if count is not None), default=None)


def _is_any(part: Mapping[str, int | None]) -> bool:
    return any(part.values())


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
