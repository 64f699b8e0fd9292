"""Tokens are found in what providers answer, whole or cut, and in nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlog_async.provider_responses.event_stream import EventReader
from chainlog_async.provider_responses.json_reader import JsonReader
from chainlog_async.provider_responses.long_document import MAX_DOCUMENT_BYTES
from chainlog_async.provider_responses.response_reader import LineReader, ResponseReader
from chainlog_async.provider_responses.token_usage import ReportedUsage

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
    "Anthropic, streamed through a proxy that fills in zeros": (
        [
            {
                "type": "message_start",
                "message": {"usage": {"input_tokens": 15, "cache_read_input_tokens": 100, "output_tokens": 1}},
            },
            {"type": "message_delta", "usage": {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9}},
        ],
        ReportedUsage(115, 9, None, 100),
    ),
    "Anthropic, compacted": (
        [
            {
                "usage": {
                    "input_tokens": 23_000,
                    "output_tokens": 1_000,
                    "iterations": [
                        {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500},
                        {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000},
                    ],
                }
            }
        ],
        ReportedUsage(203_000, 4_500, None, None),
    ),
    "Kimi": (
        [{"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "cached_tokens": 8}}],
        ReportedUsage(9, 3, 12, 8),
    ),
    "vLLM": (
        [
            {"usage": {"prompt_tokens": 9, "completion_tokens": count, "prompt_tokens_details": details}}
            for count, details in ((0, None), (2, None), (3, {"cached_tokens": 8}))
        ],
        ReportedUsage(9, 3, None, 8),
    ),
    "Ollama": (
        [{"model": "m", "done": True, "prompt_eval_count": 9, "eval_count": 3}],
        ReportedUsage(9, 3, None, None),
    ),
    "Gemini": (
        [
            {
                "usageMetadata": {
                    "promptTokenCount": 9,
                    "cachedContentTokenCount": 4,
                    "candidatesTokenCount": 3,
                    "thoughtsTokenCount": 2,
                    "totalTokenCount": 14,
                }
            }
        ],
        ReportedUsage(9, 5, 14, 4),
    ),
    "Bedrock": (
        [{"usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12, "cacheReadInputTokens": 4}}],
        ReportedUsage(13, 3, None, 4),
    ),
    "Bedrock, streamed": (
        [{"metadata": {"usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}}}],
        ReportedUsage(9, 3, 12, None),
    ),
    "Bedrock, as metrics": (
        [{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 3}}],
        ReportedUsage(9, 3, None, None),
    ),
    "Cohere": (
        [{"type": "message-end", "delta": {"usage": {"tokens": {"input_tokens": 9, "output_tokens": 3}}}}],
        ReportedUsage(9, 3, None, None),
    ),
    "whole floats": (
        [{"usage": {"prompt_tokens": 120.0, "completion_tokens": 3.0, "total_tokens": 123.0}}],
        ReportedUsage(120, 3, 123, None),
    ),
    "zeros after the sum": (
        [
            {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}},
            {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
        ],
        ReportedUsage(9, 3, 12, None),
    ),
    "zeros alone": ([{"usage": {"prompt_tokens": 0, "completion_tokens": 0}}], ReportedUsage(0, 0, None, None)),
    "a total of nothing": ([{"usage": {"prompt_tokens": 9, "total_tokens": 0}}], ReportedUsage(9, None, None, None)),
    "half an emoji beside it": (
        [{"choices": [{"delta": {"content": "\ud83d"}}], "usage": {"prompt_tokens": 9}}],
        ReportedUsage(9, None, None, None),
    ),
    "arguments of a tool": (
        [
            {
                "content": [{"type": "tool_use", "input": {"usage": {"prompt_tokens": 99_999}}}],
                "usage": {"input_tokens": 9, "output_tokens": 3},
            }
        ],
        ReportedUsage(9, 3, None, None),
    ),
    "the client's metadata": ([{"metadata": {"usage": {"prompt_tokens": 99_999}}}], ReportedUsage()),
    "Kimi, streamed": (
        [{"choices": [{"delta": {}, "usage": {"prompt_tokens": 19, "completion_tokens": 13, "cached_tokens": 10}}]}],
        ReportedUsage(19, 13, None, 10),
    ),
    "Gemini, thoughts alone": (
        [{"usageMetadata": {"promptTokenCount": 10, "thoughtsTokenCount": 90, "totalTokenCount": 100}}],
        ReportedUsage(10, 90, 100, None),
    ),
    "Cohere, billed units alone": (
        [{"usage": {"tokens": {"input_tokens": 0}, "billed_units": {"input_tokens": 5, "output_tokens": 7}}}],
        ReportedUsage(5, 7, None, None),
    ),
    "Anthropic, iterations of zeros": (
        [{"usage": {"input_tokens": 9, "output_tokens": 3, "iterations": [{"input_tokens": 0, "output_tokens": 0}]}}],
        ReportedUsage(9, 3, None, None),
    ),
    "nonsense after the sum": (
        [{"usage": {"prompt_tokens": 9}}, {"usage": {"prompt_tokens": -1}}, {"usage": {"prompt_tokens": "x"}}],
        ReportedUsage(9, None, None, None),
    ),
    "NaN beside it": (
        [{"choices": [{"logprobs": float("nan")}], "usage": {"prompt_tokens": 9}}],
        ReportedUsage(9, None, None, None),
    ),
    "an answer in the answer": (
        [{"response": {"usage": {"prompt_tokens": 99_999}}, "usage": {"prompt_tokens": 9}}],
        ReportedUsage(9, None, None, None),
    ),
    "fractions": ([{"usage": {"prompt_tokens": 1.5}}], ReportedUsage()),
    "nothing": ([{"choices": []}], ReportedUsage()),
    "null": ([{"usage": None}], ReportedUsage()),
    "counts as texts": (
        [{"usage": {"prompt_tokens": "120", "completion_tokens": "3", "total_tokens": "123"}}],
        ReportedUsage(120, 3, 123, None),
    ),
    "no numbers": (
        [{"usage": {"prompt_tokens": "9 t", "completion_tokens": -3, "total_tokens": 1e99}}],
        ReportedUsage(),
    ),
    "too large": ([{"usage": {"prompt_tokens": 10**30, "completion_tokens": True}}], ReportedUsage()),
    "in the text": ([{"content": 'it says "usage": {"prompt_tokens": 9} there'}], ReportedUsage()),
}


NAMES = (
    "amazon-bedrock-invocationMetrics", "candidates", "choices", "code", "content", "delta", "done", "error",
    "input_tokens", "inputTokens", "iterations", "message", "metadata", "model", "prompt_tokens", "response", "text",
    "prompt_tokens_details", "tokens", "tool_calls", "type", "usage", "usageMetadata", "x_groq",
)  # fmt: skip


def read(reader: ResponseReader, *parts: bytes) -> ResponseReader:
    """The reader, after a response that came in these parts."""
    for part in parts:
        reader.add(part)
    reader.finish()
    reader.classes()
    reader.cost()
    return reader


def as_events(documents: Sequence[object]) -> list[bytes]:
    """The documents as server-sent events."""
    return [f"data: {json.dumps(document)}\n\n".encode() for document in documents]


@pytest.mark.parametrize("name", ANSWERS)
def test_each_providers_shape_is_read(name: str) -> None:
    """As events however they are cut, as lines, and as one document, a response tells the same tokens."""
    documents, usage = ANSWERS[name]
    events = as_events(documents)
    whole = b"".join(events)
    assert read(EventReader(), *events, b"data: [DONE]\n\n").usage() == usage
    assert read(EventReader(), *(whole[place : place + 7] for place in range(0, len(whole), 7))).usage() == usage
    assert read(EventReader(), whole.replace(b"\n", b"\r\n")).usage() == usage
    indented = [json.dumps(document, indent=1).replace("\n", "\ndata: ") for document in documents]
    assert read(EventReader(), *(f"data: {text}\n\n".encode() for text in indented)).usage() == usage
    assert read(LineReader(), *(json.dumps(document).encode() + b"\n" for document in documents)).usage() == usage
    assert read(JsonReader(), json.dumps(documents, indent=1).encode()).usage() == usage


@given(st.integers(min_value=0, max_value=3 * MAX_DOCUMENT_BYTES), st.integers(min_value=997, max_value=70_000))
def test_usage_is_found_at_either_end_of_a_long_answer(padding: int, cut: int) -> None:
    """However long the answer and however it is cut, usage in its first or last bytes is read rightly."""
    usage = b'"usage":{"prompt_tokens":9,"completion_tokens":3}'
    filler = b'"content":["' + b"1" * padding + b'",{"input":{"usage":{"prompt_tokens":99999},"model":"x"}}]'
    for whole in (b"{" + usage + b"," + filler + b"}", b"{" + filler + b"," + usage + b"}"):
        for around in (b"%s", b'{"type":"response.completed","response":%s}'):
            document = around % whole
            parts = [document[start : start + cut] for start in range(0, len(document), cut)]
            assert read(JsonReader(), *parts).usage() == ReportedUsage(9, 3, None, None)
            assert read(JsonReader(), *parts).model is None
            assert read(EventReader(), b"data: ", *parts).usage() == ReportedUsage(9, 3, None, None)


@given(st.integers(min_value=0, max_value=200_000))
def test_nothing_is_read_across_what_was_let_go(padding: int) -> None:
    """A number that the gap cuts in two is no number."""
    before = b'{"x":"' + b"x" * 16_000 + b'","usage":{"prompt_tokens":123'
    tail = b"456}" + b"y" * 65_000
    usage = read(JsonReader(), before, b"0" * padding, b"0" * 300_000, tail).usage()
    assert usage == ReportedUsage()


@given(st.binary(max_size=300), st.sampled_from([JsonReader, LineReader, EventReader]))
def test_no_bytes_are_too_odd(rubbish: bytes, kind: type[ResponseReader]) -> None:
    """Reading a response raises for nothing."""
    for around in (b'{"usage":{', b'{"model":"', b'data: {"usage": {"prompt_tokens": ', b'data: {"choices":[{"delta":'):
        read(kind(), around + rubbish, rubbish + b"\n\n" + around + rubbish + b'"}').usage()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=4))
def test_no_document_is_too_odd(documents: list[object]) -> None:
    """Whatever holds what, under the names that providers use, is read without an error."""
    for reader in (EventReader(), LineReader()):
        read(reader, *as_events(documents), *(json.dumps(document).encode() + b"\n" for document in documents)).usage()
    read(JsonReader(), json.dumps(documents).encode()).usage()


def test_a_document_nested_without_end_is_no_error() -> None:
    """Brackets as deep as they like are read, or left."""
    for opening in (b"[", b'{"choices":', b'{"delta":[', b'{"error":[', b'{"usage":{"iterations":['):
        deep = opening * 50_000
        assert read(EventReader(), b"data: " + deep + b"\n\n").usage() == ReportedUsage()
        assert read(JsonReader(), deep).usage() == ReportedUsage()


def test_the_model_is_the_one_that_answered() -> None:
    """The model is read around the content, escapes included, and never from what a tool is called with."""
    tool = b'{"content": [{"input": {"model": "x"}}, "\\"model\\": \\"y\\""], "model": "m\\u00fc\\"", "z": 1}'
    assert read(JsonReader(), tool).model == 'mü"'
    assert read(JsonReader(), b'{"content": [{"input": {"model": "x"}}]}').model is None
    assert read(JsonReader(), b"{}").model is None
    assert read(EventReader(), *as_events([ANTHROPIC_START])).model == "claude"
    assert read(JsonReader(), b'{"modelVersion": "gemini"}').model == "gemini"


ECHO = {"usage": {"prompt_tokens": 99_999}, "model": "x", "error": "x", "done": True, "success": False, "error_code": 3}
PLACES: dict[str, object] = {
    "text": {"choices": [{"message": {"content": json.dumps(ECHO)}, "finish_reason": "stop"}]},
    "content": {"choices": [{"message": {"content": ECHO}, "finish_reason": "stop"}]},
    "arguments": {"choices": [{"message": {"tool_calls": [{"function": ECHO}]}, "finish_reason": "stop"}]},
    "input": {"content": [{"type": "tool_use", "input": ECHO}], "stop_reason": "tool_use"},
    "output": {"object": "response", "output": [{"type": "function_call", "arguments": [ECHO]}]},
    "parts": {"candidates": [{"content": {"parts": [{"functionCall": {"args": ECHO}}]}, "finishReason": "STOP"}]},
    "metadata": {"choices": [], "metadata": ECHO},
    "citations": {"choices": [], "citations": [ECHO, [ECHO]]},
}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=9_000), min_size=3, max_size=9), st.integers(997, 70_000))
def test_usage_is_found_behind_embeddings(sizes: list[int], cut: int) -> None:
    """However many numbers each has: where there are many, their end is looked for in another way."""
    rows = [b'{"index":%d,"embedding":[%s]}' % (size, b"-0.0123," * size + b"1") for size in sizes]
    document = b'{"data":[%s],"z":"%s","usage":{"prompt_tokens":9}}' % (b",".join(rows), b"." * MAX_DOCUMENT_BYTES)
    parts = [document[start : start + cut] for start in range(0, len(document), cut)]
    assert read(JsonReader(), *parts).usage() == ReportedUsage(9, None, None, None)
    assert read(JsonReader(), *parts).failure is None
    assert read(JsonReader(), document.replace(b"]}", b"]")).failure is not None


@pytest.mark.parametrize("around", [b"%s", b'{"type":"response.completed","response":%s}'])
@pytest.mark.parametrize("name", [b"usage", b"usageMetadata"])
def test_a_long_usage_of_a_long_answer_is_read(name: bytes, around: bytes) -> None:
    """One with a part for each of many iterations or modalities, in front of the content or after it."""
    details = json.dumps([{"modality": "TEXT", "tokenCount": count} for count in range(1_000)]).encode()
    counts = {b"usage": b'"prompt_tokens":9,"completion_tokens":3', b"usageMetadata": b'"promptTokenCount":9'}[name]
    usage = b'"%s":{"details":%s,%s}' % (name, details, counts)
    content = b'"content":["%s"]' % (b"1" * 2 * MAX_DOCUMENT_BYTES)
    right = ReportedUsage(9, 3 if name == b"usage" else None, None, None)
    for members in (usage + b"," + content, content + b"," + usage):
        document = around % (b"{" + members + b"}")
        parts = [document[start : start + 5_000] for start in range(0, len(document), 5_000)]
        assert read(JsonReader(), *parts).usage() == right
        assert read(EventReader(), b"data: ", *parts).usage() == right
    # Cut within the usage, which is then not known; what was told before it is.
    cut = around % (b'{"model":"m",' + content + b"," + usage)[:-2_000]
    assert read(JsonReader(), cut).usage() == ReportedUsage()


@pytest.mark.parametrize("padding", [0, 2 * MAX_DOCUMENT_BYTES])
@pytest.mark.parametrize("place", PLACES)
def test_what_a_model_says_or_a_client_sends_counts_as_nothing(place: str, padding: int) -> None:
    """Neither as usage nor as a model or an error, before the real ones or after them, short or long."""
    told = {"model": "m", "usage": {"prompt_tokens": 9}}
    said = PLACES[place]
    assert isinstance(said, dict)
    for document in ({**told, **said, "z": "x" * padding}, {**said, "z": "x" * padding, **told}):
        for reader, around in ((JsonReader(), b"%s"), (EventReader(), b"data: %s\n\ndata: [DONE]\n\n")):
            done = read(reader, around % json.dumps(document).encode())
            assert (done.usage().prompt_tokens, done.model, done.failure) == (9, "m", None)
