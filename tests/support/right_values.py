"""Calls whose right cost is known to the microdollar, and the answers with which their providers report them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from .provider_bodies import chunk, events_of


class Call(NamedTuple):
    """One answered call without a cost."""

    provider_id: str
    model: str
    tokens: Mapping[str, int]
    micro_usd: float
    """What it costs, in millionths of a US dollar."""


_CACHED = {"prompt_tokens": 2_006, "completion_tokens": 300, "cached_tokens": 1_920}
_UNCACHED = {**_CACHED, "cached_tokens": 0}
_WRITTEN = {"prompt_tokens": 2_006, "completion_tokens": 300, "cached_tokens": 920, "cache_write_tokens": 1_000}
_LONG = {"prompt_tokens": 250_000, "completion_tokens": 300}
_HAIKU = "bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0"

CALLS = (
    Call("openai", "gpt-4o-mini", _CACHED, 336.90),
    Call("openai", "gpt-5-mini", _CACHED, 669.50),
    Call("anthropic", "claude-sonnet-4-5", _WRITTEN, 8_784),
    Call("anthropic", "claude-sonnet-4-5-20250929", {**_WRITTEN, "cache_write_1h_tokens": 400}, 9_684),
    Call("bedrock", _HAIKU, _WRITTEN, 3_220.80),
    Call("gcp.gemini", "gemini-2.5-flash", _CACHED, 833.40),
    Call("vertex_ai", "vertex_ai/gemini-2.5-pro", _LONG, 629_500),
    Call("groq", "groq/llama-3.1-8b-instant", _UNCACHED, 124.30),
    Call("groq", "llama-3.3-70b-versatile", _UNCACHED, 1_420.54),
    Call("openai", "text-embedding-3-small", {"prompt_tokens": 2_006, "completion_tokens": 0}, 40.12),
)


def streamed(call: Call) -> bytes:
    """The answer as Anthropic streams it for a model of its own, else as OpenAI does."""
    return _anthropic(call) if "claude" in call.model else _openai(call)


def _anthropic(call: Call) -> bytes:
    tokens = call.tokens
    written, hour = tokens["cache_write_tokens"], tokens.get("cache_write_1h_tokens", 0)
    usage = {
        "input_tokens": tokens["prompt_tokens"] - tokens["cached_tokens"] - written,
        "cache_read_input_tokens": tokens["cached_tokens"],
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour},
        "output_tokens": 1,
        "service_tier": "standard",
    }
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": call.model, "content": []}
    return events_of(
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": tokens["completion_tokens"]},
        },
        {"type": "message_stop"},
    )


def _openai(call: Call) -> bytes:
    tokens = call.tokens
    usage = {
        "prompt_tokens": tokens["prompt_tokens"],
        "completion_tokens": tokens["completion_tokens"],
        "total_tokens": tokens["prompt_tokens"] + tokens["completion_tokens"],
        "prompt_tokens_details": {"cached_tokens": tokens.get("cached_tokens", 0), "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
    names = {"model": call.model, "service_tier": "default", "system_fingerprint": "fp_1"}
    return events_of(
        chunk("Hi", usage=None, **names),
        chunk(None, "stop", usage=None, **names),
        {**chunk(None, **names), "choices": [], "usage": usage},
        done=True,
    )


def litellm_payload(call: Call) -> dict[str, object]:
    """The payload of LiteLLM's callback for the call, when LiteLLM knows no price of the model."""
    tokens = call.tokens
    written, hour = tokens.get("cache_write_tokens", 0), tokens.get("cache_write_1h_tokens", 0)
    usage = {
        "prompt_tokens": tokens["prompt_tokens"],
        "completion_tokens": tokens["completion_tokens"],
        "total_tokens": tokens["prompt_tokens"] + tokens["completion_tokens"],
        "prompt_tokens_details": {
            "cached_tokens": tokens.get("cached_tokens", 0),
            "cache_creation_tokens": written,
            "cache_creation_token_details": {
                "ephemeral_5m_input_tokens": written - hour,
                "ephemeral_1h_input_tokens": hour,
            },
        },
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": tokens.get("cached_tokens", 0),
    }
    return {
        "litellm_call_id": f"call {call.model}",
        "trace_id": f"trace {call.model}",
        "custom_llm_provider": call.provider_id,
        "model": call.model,
        "model_group": "default",
        "startTime": time.time() - 0.9,
        "endTime": time.time(),
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
        "response_cost": 0.0,
        "response_cost_failure_debug_info": {"error_str": "This model isn't mapped yet."},
        "metadata": {"usage_object": usage},
    }
