"""Tokens are found in what providers answer, whole or cut, and in nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async.integrations._asgi.messages import ObservedResponse
from chainlog_async.integrations._asgi.token_usage import HEAD_BYTES, TAIL_BYTES, ReportedUsage, ResponseSample

ANTHROPIC_START = {
    "type": "message_start",
    "message": {
        "model": "claude",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 30,
            "cache_creation_input_tokens": 5,
            "output_tokens": 1,
        },
    },
}

ANSWERS: dict[str, tuple[Sequence[Mapping[str, object]], ReportedUsage]] = {
    "OpenAI": (
        [{"model": "m", "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}],
        ReportedUsage(9, 3, 12, None),
    ),
    "OpenAI, cached": (
        [{"usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}}],
        ReportedUsage(9, 3, None, 4),
    ),
    "OpenAI, streamed": (
        [{"choices": [], "usage": None}, {"usage": {"prompt_tokens": 9, "completion_tokens": 3}}],
        ReportedUsage(9, 3, None, None),
    ),
    "a sum in every chunk": (
        [{"usage": {"prompt_tokens": 9, "completion_tokens": count}} for count in range(5)],
        ReportedUsage(9, 4, None, None),
    ),
    "Groq, in its own place": ([{"x_groq": {"usage": {"prompt_tokens": 9}}}], ReportedUsage(9, None, None, None)),
    "embeddings": ([{"data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}], ReportedUsage(8, None, 8, None)),
    "DeepSeek": (
        [{"usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 6}}],
        ReportedUsage(9, 3, None, 6),
    ),
    "Responses": (
        [
            {"type": "response.created", "response": {"usage": None}},
            {
                "response": {
                    "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3}
                }
            },
        ],
        ReportedUsage(9, 3, None, 2),
    ),
    "Anthropic": (
        [{"usage": {"input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": 0}}],
        ReportedUsage(9, 3, None, 0),
    ),
    "Anthropic, streamed": (
        [ANTHROPIC_START, {"type": "message_delta", "usage": {"output_tokens": 15}}],
        ReportedUsage(45, 15, None, 30),
    ),
    "nothing": ([{"choices": []}], ReportedUsage()),
    "null": ([{"usage": None}], ReportedUsage()),
    "no numbers": ([{"usage": {"prompt_tokens": "9", "completion_tokens": -3, "total_tokens": 1e99}}], ReportedUsage()),
    "too large": ([{"usage": {"prompt_tokens": 10**30, "completion_tokens": True}}], ReportedUsage()),
    "in the text": ([{"content": 'it says "usage": {"prompt_tokens": 9} there'}], ReportedUsage()),
}


def kept(*parts: bytes) -> ResponseSample:
    """What is kept of an answer that comes in parts."""
    answer = ResponseSample()
    for part in parts:
        answer.add(part)
    return answer


@pytest.mark.parametrize("name", ANSWERS)
def test_each_providers_shape_is_read(name: str) -> None:
    """As a stream of events, dense or indented, the answer tells the same tokens."""
    events, usage = ANSWERS[name]
    dense = [f"data: {json.dumps(event, separators=(',', ':'))}\n\n".encode() for event in events]
    assert kept(*dense, b"data: [DONE]\n\n").usage() == usage
    assert kept(*(json.dumps(event, indent=2).encode() for event in events)).usage() == usage


@given(
    st.integers(min_value=0, max_value=3 * (HEAD_BYTES + 2 * TAIL_BYTES)), st.integers(min_value=97, max_value=70_000)
)
def test_usage_is_found_at_either_end_of_a_long_answer(padding: int, cut: int) -> None:
    """However long the answer and however it is cut, usage in its first or last bytes is read rightly."""
    usage = b'"usage":{"prompt_tokens":9,"completion_tokens":3}'
    filler = b'"content":"' + b"1" * padding + b'"'
    for whole in (b"{" + usage + b"," + filler + b"}", b"{" + filler + b"," + usage + b"}"):
        parts = [whole[start : start + cut] for start in range(0, len(whole), cut)]
        assert kept(*parts).usage() == ReportedUsage(9, 3, None, None)


@given(st.integers(min_value=0, max_value=200_000))
def test_nothing_is_read_across_what_was_let_go(padding: int) -> None:
    """A number that the gap cuts in two is no number."""
    before = b"x" * (HEAD_BYTES - 30) + b'"usage":{"prompt_tokens":123'
    tail = b"456}" + b"y" * (TAIL_BYTES - 4)
    usage = kept(before, b"0" * padding, b"0" * 300_000, tail).usage()
    assert usage == ReportedUsage()


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(rubbish: bytes) -> None:
    """Looking for tokens and model raises for nothing."""
    for around in (b'"usage":{', b'"model":"', b'data: {"usage": {"prompt_tokens": '):
        answer = kept(around + rubbish, rubbish + around + rubbish + b'"}')
        answer.usage()
        answer.model()


def test_the_model_is_the_first_that_is_named() -> None:
    """The model of an answer is read from its structure, escapes included, and not from its text."""
    assert kept(b'{"content": "\\"model\\": \\"x\\"", "model": "m\\u00fc\\"", "model": "z"}').model() == 'mü"'
    assert kept(b"{}").model() is None


@pytest.mark.parametrize(
    ("event", "is_content"),
    [
        (b": OPENROUTER PROCESSING\n\n", False),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n', True),
        (b'data: {"choices": [{"delta": {"content": "\\"quoted"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":""}}]}}]}\n\n', True),
        (b'data: {"choices":[{"text":"Hi"}]}\n\n', True),
        (b'data: {"type":"content_block_start","content_block":{"type":"text","text":""}}\n\n', False),
        (b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}\n\n', True),
        (b'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n', True),
        (b'data: {"type":"response.created","response":{"text":{"format":{}}}}\n\n', False),
    ],
)
def test_content_is_told_from_its_preludes(event: bytes, is_content: bool) -> None:
    """The first token is the first text, reasoning or call of a tool; without any, the first bytes of the stream."""
    answered = ObservedResponse()
    headers = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
    answered.note({"type": "http.response.start", "status": 200, "headers": headers})
    assert answered.first_token is None
    answered.note({"type": "http.response.body", "body": event, "more_body": True})
    first = answered.first_token
    assert first is not None
    answered.note({"type": "http.response.body", "body": b'data: {"delta":{"content":"x"}}', "more_body": True})
    assert answered.first_token is not None
    assert (answered.first_token == first) == is_content
