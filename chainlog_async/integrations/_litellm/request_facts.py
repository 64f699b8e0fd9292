"""Reads what LiteLLM knows about the request of an attempt: its chain, its caller, its place in the Router."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from .attempt import AttemptPosition
from .values import first_name, mapping, name, whole

MASTER_USER = "default_user_id"
"""The user of the proxy's master key; less specific than the end user that the client named."""

UNREAD_CALL_TYPE = "pass_through_endpoint"
"""The call type of a request that LiteLLM passes on unread."""

HEALTH_CHECK_KEY = "litellm-internal-health-check"
"""The alias of the key with which LiteLLM checks its deployments."""

MAX_PAYLOAD_METADATA_BYTES = 3000
"""Largest metadata that is passed on, in bytes of JSON.

Less than what an entry may hold, see `entry.sanitize.MAX_METADATA_BYTES`, because redaction can lengthen it.
"""

# Gemini's own route. For another provider's model LiteLLM makes a chat call of its own, without the Router's data.
_TRANSLATED_ROUTE = re.compile(r"/models/([^/]+):(?:stream)?generateContent$", re.IGNORECASE)
_TRANSLATED_CALLS = ("agenerate_content", "generate_content")

_KEY_FIELDS = {
    "user_api_key_alias": "key_alias",
    "user_api_key_user_id": "user_id",
    "user_api_key_team_alias": "team_alias",
    "user_api_key_team_id": "team_id",
    "user_api_key_org_alias": "organization_alias",
    "user_api_key_org_id": "org_id",
    "user_api_key_end_user_id": "end_user_id",
    "user_api_key_request_route": "request_route",
}


def routing_of(params: Mapping[str, object]) -> Mapping[str, object]:
    """Returns the metadata of the Router and the proxy about the request, which for some calls has another name."""
    other = mapping(params.get("litellm_metadata"))
    metadata = mapping(params.get("metadata"))
    for known in ("model_group", "user_api_key_alias"):
        if (known in other) != (known in metadata):
            return other if known in other else metadata
    return metadata


def described_by(request: Mapping[str, object]) -> dict[str, object]:
    """Returns all metadata of a call's arguments: who asked may be in either place."""
    return {**mapping(request.get("metadata")), **mapping(request.get("litellm_metadata"))}


def facts_of_key(key: object) -> dict[str, object]:
    """Returns what the proxy knows about the key of a request, under the names that its metadata has."""
    known = {field: getattr(key, attribute, None) for field, attribute in _KEY_FIELDS.items()}
    return {field: value for field, value in known.items() if value}


def position_of(routing: Mapping[str, object]) -> AttemptPosition | None:
    """Returns the position of an attempt; None without the Router."""
    if "attempted_retries" not in routing:
        return None
    return whole(routing.get("attempted_fallbacks")), whole(routing.get("attempted_retries"))


def route_of(described: Mapping[str, object]) -> str:
    """Returns the proxy's path that the client requested, else ""."""
    return name(described.get("user_api_key_request_route"))


def is_inner_call(route: str, position: AttemptPosition | None, call_type: str) -> bool:
    """Returns whether LiteLLM made this call for one that it translates."""
    return position is None and call_type not in _TRANSLATED_CALLS and _TRANSLATED_ROUTE.search(route) is not None


def is_health_check(described: Mapping[str, object]) -> bool:
    """Returns whether LiteLLM checks a deployment. No client can claim that: its requests have a route."""
    return described.get("user_api_key_alias") == HEALTH_CHECK_KEY and not route_of(described)


def chain_of(routing: Mapping[str, object], payload: Mapping[str, object], route: str) -> str:
    """Returns the client's own name for the chain, else the requested model group, the model, or the proxy's path."""
    chain = first_name(
        routing.get("chain_name"),
        mapping(routing.get("requester_metadata")).get("chain_name"),
        routing.get("original_model_group"),
        routing.get("model_group"),
        payload.get("model_group"),
    )
    if chain:
        return chain
    translated = _TRANSLATED_ROUTE.search(route)
    # "unknown" is LiteLLM's word for a pass-through request that names no model.
    model = payload.get("model") if payload.get("model") != "unknown" else None
    path = route if payload.get("call_type") == UNREAD_CALL_TYPE else None
    return first_name(translated[1] if translated else None, model, path) or "default"


def caller_of(described: Mapping[str, object], end_user: object) -> str | None:
    """Returns the alias of the key, else the user, the end user or the team; never the key or its hash."""
    user = name(described.get("user_api_key_user_id"))
    caller = first_name(
        described.get("user_api_key_alias"),
        user if user != MASTER_USER else "",
        described.get("user_api_key_end_user_id"),
        end_user,
        described.get("user_api_key_team_alias"),
        user,
    )
    return caller or None


def metadata_of(
    described: Mapping[str, object],
    *,
    names: Mapping[str, object],
    end_user: object = None,
    tags: object = None,
    cached: bool = False,
) -> dict[str, object]:
    """Returns the metadata of a row: `names` as they are, then who asked, and with which tags."""
    user = name(described.get("user_api_key_user_id"))
    texts = {
        **names,
        "user": user if user != MASTER_USER else "",
        "team": first_name(described.get("user_api_key_team_alias"), described.get("user_api_key_team_id")),
        "organization": first_name(described.get("user_api_key_org_alias"), described.get("user_api_key_org_id")),
        "end_user": first_name(end_user, described.get("user_api_key_end_user_id")),
    }
    kept: dict[str, object] = {key: text for key, value in texts.items() if (text := name(value))}
    if given := request_tags(tags):
        kept["tags"] = given
    if cached:
        kept["cache_hit"] = True
    if is_health_check(described):
        kept["health_check"] = True
    return bounded(kept)


def request_tags(tags: object) -> list[str]:
    """Returns the tags that the client set; the proxy adds the client's User-Agent to them."""
    return [tag for tag in map(name, tags) if tag and tag[:11] != "User-Agent:"] if isinstance(tags, list) else []


def bounded(metadata: dict[str, object]) -> dict[str, object]:
    """Returns the metadata, or what matters most of it if it is too large."""
    if len(msgspec.json.encode(metadata)) <= MAX_PAYLOAD_METADATA_BYTES:
        return metadata
    most = ("call_type", "deployment_id", "cache_hit", "health_check", "part")
    return {key: metadata[key] for key in most if key in metadata}
