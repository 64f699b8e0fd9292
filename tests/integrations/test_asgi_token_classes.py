"""Classes of tokens, finish reason, tier and id are found in what providers answer, as streams and as one document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from chainlog_async.provider_responses.event_stream import EventReader
from chainlog_async.provider_responses.json_reader import JsonReader
from chainlog_async.provider_responses.response_reader import ResponseReader

ANTHROPIC: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude-sonnet-4-5",
            "usage": {
                "input_tokens": 86,
                "cache_read_input_tokens": 920,
                "cache_creation_input_tokens": 1_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
                "output_tokens": 1,
                "service_tier": "standard",
            },
        },
    },
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 300}},
    {"type": "message_stop"},
]
OPENAI: list[dict[str, Any]] = [
    {"id": "chatcmpl-1", "model": "gpt-5-mini", "choices": [{"index": 0, "delta": {"content": "hi"}}]},
    {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
    {
        "id": "chatcmpl-1",
        "choices": [],
        "service_tier": "flex",
        "usage": {
            "prompt_tokens": 2_006,
            "completion_tokens": 300,
            "prompt_tokens_details": {"cached_tokens": 1_920, "audio_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 9},
        },
    },
]
RESPONSES: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_1", "usage": None}},
    {
        "type": "response.incomplete",
        "response": {
            "id": "resp_1",
            "incomplete_details": {"reason": "max_output_tokens"},
            "service_tier": "priority",
            "usage": {"input_tokens": 9, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 2}},
        },
    },
]
GEMINI: list[dict[str, Any]] = [
    {
        "responseId": "g-1",
        "candidates": [{"finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 2_006,
            "candidatesTokenCount": 200,
            "thoughtsTokenCount": 100,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2_000}, {"modality": "AUDIO", "tokenCount": 6}],
        },
    }
]
BEDROCK: list[dict[str, Any]] = [
    {"messageStart": {"role": "assistant"}},
    {"messageStop": {"stopReason": "end_turn"}},
    {
        "metadata": {
            "usage": {
                "inputTokens": 86,
                "outputTokens": 300,
                "cacheReadInputTokens": 920,
                "cacheWriteInputTokens": 1_000,
                "cacheDetails": [{"ttl": "5m", "inputTokens": 600}, {"ttl": "1h", "inputTokens": 400}],
            }
        }
    },
]
CASES: dict[str, tuple[Sequence[Mapping[str, object]], tuple[int, int], dict[str, int], tuple[str | None, ...]]] = {
    "Anthropic": (
        ANTHROPIC,
        (2_006, 300),
        {"cache_write_tokens": 1_000, "cache_write_1h_tokens": 400},
        ("tool_use", "standard", "msg_1"),
    ),
    "OpenAI": (
        OPENAI,
        (2_006, 300),
        {"reasoning_tokens": 64, "prompt_audio_tokens": 7, "completion_audio_tokens": 9},
        ("length", "flex", "chatcmpl-1"),
    ),
    "Responses": (RESPONSES, (9, 3), {"reasoning_tokens": 2}, ("max_output_tokens", "priority", "resp_1")),
    "Gemini": (GEMINI, (2_006, 300), {"reasoning_tokens": 100, "prompt_audio_tokens": 6}, ("STOP", None, "g-1")),
    "Bedrock": (
        BEDROCK,
        (2_006, 300),
        {"cache_write_tokens": 1_000, "cache_write_1h_tokens": 400},
        ("end_turn", None, None),
    ),
}


def read(reader: ResponseReader, *parts: bytes) -> ResponseReader:
    """The reader, after a response that came in these parts."""
    for part in parts:
        reader.add(part)
    reader.finish()
    return reader


@pytest.mark.parametrize("name", CASES)
def test_each_providers_classes_are_read_of_a_stream_and_of_an_array(name: str) -> None:
    """The prompt includes what a cache read or wrote, the completion reasoning; both say how much of it that is."""
    documents, tokens, classes, words = CASES[name]
    events = [f"data: {json.dumps(document)}\n\n".encode() for document in documents]
    for reader in (read(EventReader(), *events), read(JsonReader(), json.dumps(documents).encode())):
        usage = reader.usage()
        assert (usage.prompt_tokens, usage.completion_tokens) == tokens
        assert {key: count for key, count in reader.classes().items() if count is not None} == classes
        assert (reader.finish_reason, reader.service_tier, reader.response_id) == words


def test_an_answer_in_one_document_tells_the_same() -> None:
    """As OpenAI and Anthropic answer without a stream."""
    openai = {**OPENAI[-1], "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    reader = read(JsonReader(), json.dumps(openai).encode())
    assert (reader.finish_reason, reader.service_tier, reader.response_id) == ("stop", "flex", "chatcmpl-1")
    assert reader.classes().get("reasoning_tokens") == 64
    anthropic = {"id": "msg_2", "type": "message", "stop_reason": "end_turn", "usage": ANTHROPIC[0]["message"]["usage"]}
    reader = read(JsonReader(), json.dumps(anthropic).encode())
    assert (reader.finish_reason, reader.service_tier, reader.response_id) == ("end_turn", "standard", "msg_2")
    assert reader.classes().get("cache_write_1h_tokens") == 400


def test_the_classes_of_anthropics_iterations_are_added_up() -> None:
    """After a compaction the counts at the top leave out what it took."""
    usage = {
        "input_tokens": 1,
        "iterations": [
            {"input_tokens": 5, "output_tokens": 1, "cache_creation_input_tokens": 3},
            {"input_tokens": 6, "output_tokens": 2, "cache_creation_input_tokens": 4},
        ],
    }
    assert read(JsonReader(), json.dumps({"usage": usage}).encode()).classes().get("cache_write_tokens") == 7


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 1, "cost": 0.00014}, 0.00014),
        ({"cost": {"input_tokens_cost": 0.1, "total_cost": 0.3}}, 0.3),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, 0.21),
        ({"cost": 0.01, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.2}}, 0.01),
        ({"cost": 0}, 0.0),
        ({"cost": True}, None),
        ({"cost": -1}, None),
        ({"cost": "free"}, None),
        ({}, None),
    ],
)
def test_what_the_provider_charges_is_read(usage: dict[str, object], cost: float | None) -> None:
    """Of OpenRouter and Perplexity; anything but a number of dollars is no cost."""
    for reader in (
        read(JsonReader(), json.dumps({"usage": usage}).encode()),
        read(EventReader(), f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode()),
    ):
        assert reader.cost() == (None if cost is None else pytest.approx(cost))
