"""Reads the classes of tokens and the provider's words from LiteLLM's payload of one attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainlog_async.entry.model import MAX_TAGS

from .request_facts import MASTER_USER
from .values import first_name, mapping, name, number, whole


def token_classes(usage: Mapping[str, object]) -> dict[str, int]:
    """Returns the counts that LiteLLM's usage has, under the names of an entry.

    LiteLLM has converted every provider's usage to that of OpenAI: prompt tokens include those read from a cache and
    written to it, completion tokens include reasoning.
    """
    prompt, completion = mapping(usage.get("prompt_tokens_details")), mapping(usage.get("completion_tokens_details"))
    written = mapping(prompt.get("cache_creation_token_details"))
    found = {
        "cached_tokens": _first(prompt.get("cached_tokens"), usage.get("cache_read_input_tokens")),
        "cache_write_tokens": _first(
            prompt.get("cache_creation_tokens"),
            prompt.get("cache_write_tokens"),
            usage.get("cache_creation_input_tokens"),
        ),
        "cache_write_1h_tokens": _first(written.get("ephemeral_1h_input_tokens")),
        "reasoning_tokens": _first(completion.get("reasoning_tokens")),
        "prompt_audio_tokens": _first(prompt.get("audio_tokens")),
        "completion_audio_tokens": _first(completion.get("audio_tokens")),
    }
    return {field: count for field, count in found.items() if count is not None}


def finish_reason_of(payload: Mapping[str, object]) -> str | None:
    """Returns why the answer ended. Nothing else of the answer is read."""
    response = mapping(payload.get("response"))
    choices = response.get("choices")
    first = mapping(choices[0]) if isinstance(choices, list) and choices else {}
    return first_name(first.get("finish_reason"), response.get("stop_reason")) or None


def service_tier_of(payload: Mapping[str, object]) -> str | None:
    """Returns the tier in which the provider served the request, else that by which LiteLLM priced it."""
    tier = first_name(
        mapping(payload.get("response")).get("service_tier"),
        mapping(mapping(payload.get("metadata")).get("usage_object")).get("service_tier"),
        mapping(payload.get("cost_breakdown")).get("service_tier"),
    )
    return tier or None


def response_id_of(payload: Mapping[str, object], call_id: str) -> str | None:
    """Returns the provider's id of the answer; LiteLLM puts its own id there when the provider gave none."""
    response_id = name(payload.get("id"))
    return response_id if response_id and response_id != call_id else None


def tags_of(described: Mapping[str, object], end_user: object, tags: Sequence[str]) -> list[str] | None:
    """Returns who asked, then the tags of the request, as ``key:value``; one without a key becomes ``tag:...``."""
    user = name(described.get("user_api_key_user_id"))
    known = {
        "team": first_name(described.get("user_api_key_team_alias"), described.get("user_api_key_team_id")),
        "user": user if user != MASTER_USER else "",
        "end_user": first_name(end_user, described.get("user_api_key_end_user_id")),
        "org": first_name(described.get("user_api_key_org_alias"), described.get("user_api_key_org_id")),
    }
    named = [f"{key}:{value}" for key, value in known.items() if value]
    named += [tag if all(tag.partition(":")) else f"tag:{tag.strip(':')}" for tag in tags if tag.strip(":")]
    return [name(tag) for tag in dict.fromkeys(named)][:MAX_TAGS] or None


def _first(*values: object) -> int | None:
    """The first that is a number other than 0, else 0 if any is one."""
    counts = [whole(value) for value in values if number(value) is not None]
    return next((count for count in counts if count), counts[0] if counts else None)
