"""Bodies as providers send them, and what is read of each."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

JSON = "application/json"
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"
AWS = "application/vnd.amazon.eventstream"


class Answer(NamedTuple):
    """A body, and what is read of it; tokens are prompt, completion and cached."""

    media_type: str
    body: bytes
    tokens: tuple[int | None, int | None, int | None] = (None, None, None)
    failure: str | None = None
    model: str | None = None


def json_of(document: object) -> bytes:
    """A document as providers send it."""
    return json.dumps(document, separators=(",", ":")).encode()


def events_of(*documents: object, done: bool = False) -> bytes:
    """Server-sent events, named by their type as Anthropic's and OpenAI's Responses are."""
    parts = []
    for document in documents:
        kind = document.get("type") if isinstance(document, Mapping) else None
        parts.append((f"event: {kind}\n" if isinstance(kind, str) else "") + f"data: {json.dumps(document)}\n\n")
    return "".join([*parts, "data: [DONE]\n\n" if done else ""]).encode()


def lines_of(*documents: object) -> bytes:
    """One document per line."""
    return b"".join(json_of(document) + b"\n" for document in documents)


def gemini_array_of(*documents: object) -> bytes:
    """An array as `streamGenerateContent` sends it without ``alt=sse``."""
    return b"[" + b"\n,\r\n".join(json.dumps(document, indent=2).encode() for document in documents) + b"\n]\n"


def aws_message(payload: object, **headers: str) -> bytes:
    """One message of Amazon's event stream; ``event_type="x"`` is its header ``:event-type``."""
    data = json_of(payload) if payload is not None else b""
    fields = b""
    for key, value in {"content_type": "application/json", **headers}.items():
        name = (":" + key.replace("_", "-")).encode()
        fields += bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(fields) + len(data), len(fields))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + fields + data
    return message + struct.pack(">I", zlib.crc32(message))


def aws_events(*events: tuple[str, object]) -> bytes:
    """Messages of these types."""
    return b"".join(aws_message(payload, event_type=name, message_type="event") for name, payload in events)


def enclosed(*documents: object) -> list[tuple[str, object]]:
    """Documents as InvokeModelWithResponseStream encloses them."""
    return [("chunk", {"bytes": base64.b64encode(json_of(document)).decode(), "p": "ab"}) for document in documents]


def chunk(content: str | None = "Hi", reason: str | None = None, **more: object) -> dict[str, object]:
    """A chunk of OpenAI's chat completions."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


def completion(usage: object, **more: object) -> dict[str, object]:
    """An answer of OpenAI's chat completions."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage, **more}


def gemini(text: str, reason: str | None = None, completion: int = 0) -> dict[str, object]:
    """A chunk of Gemini's."""
    candidate: dict[str, object] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 9, "candidatesTokenCount": completion, "totalTokenCount": 9 + completion}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}


def ollama(text: str, **more: object) -> dict[str, object]:
    """A line of Ollama's chat."""
    return {"model": "llama3", "created_at": "t", "message": {"role": "assistant", "content": text}, **more}


ANTHROPIC = [
    {"type": "message_start", "message": {"model": "claude", "content": [], "usage": {"input_tokens": 9}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
]
ANTHROPIC_END = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]
COHERE = [
    {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
    {"type": "content-end", "index": 0},
]
COHERE_USAGE = {
    "billed_units": {"input_tokens": 5, "output_tokens": 2},
    "tokens": {"input_tokens": 9, "output_tokens": 3},
}
CONVERSE: Sequence[tuple[str, object]] = [
    ("messageStart", {"role": "assistant", "p": "ab"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}, "p": "ab"}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
]
CONVERSE_END: Sequence[tuple[str, object]] = [
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}, "metrics": {"latencyMs": 5}}),
]
COUNTS = (9, 3, None)
SHORT = "the stream ended before the answer was complete"
BROKEN = "the answer is no complete JSON"
