"""What is read of a provider's document: who answered, its usage, its end and its errors, never what it says.

A document is a JSON response, or one event of a stream.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .loose_json import decode_loosely

MAX_FAILURE_CHARS = 2_000

_EMPTY = msgspec.Raw(b"")

_LAST_TYPES = frozenset(
    {"message_stop", "message_delta", "message-end", "response.completed", "response.incomplete", "response.cancelled"}
)
"""Types of the event with which a provider ends its answer: Anthropic, Cohere, and OpenAI's Responses."""

_STREAM_TYPES = ("response.", "message_start", "message-start", "content_block", "content-")

_TEXT_KEYS = frozenset(
    {
        "arguments",
        "content",
        "data",
        "delta",
        "partial_image_b64",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "refusal",
        "response",
        "text",
        "thinking",
        "tool_plan",
        "transcript",
    }
)
_CALL_KEYS = frozenset({"executableCode", "functionCall", "function_call", "inlineData", "tool_calls"})
_CONTAINERS = frozenset(
    {
        "audio",
        "candidates",
        "choices",
        "content",
        "contentBlockDelta",
        "content_block",
        "delta",
        "message",
        "parts",
        "reasoning_details",
    }
)


class Envelope(msgspec.Struct):
    """The fields around the content, of all providers; the rest is skipped."""

    type: object = None
    object_type: object = msgspec.field(default=None, name="object")
    status: object = None
    model: object = None
    model_version: object = msgspec.field(default=None, name="modelVersion")
    usage: object = None
    usage_metadata: object = msgspec.field(default=None, name="usageMetadata")
    bedrock_metrics: object = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")
    prompt_eval_count: object = None
    eval_count: object = None
    done: object = None
    code: object = None
    error: object = None
    choices: msgspec.Raw = _EMPTY
    candidates: msgspec.Raw = _EMPTY
    response: msgspec.Raw = _EMPTY
    message: msgspec.Raw = _EMPTY
    delta: msgspec.Raw = _EMPTY
    metadata: msgspec.Raw = _EMPTY
    x_groq: msgspec.Raw = _EMPTY

    def named_model(self) -> str | None:
        """Returns the model that answered, if it is named here."""
        model = self.model or self.model_version
        return model if isinstance(model, str) else None

    def usages(self) -> list[object]:
        """Returns the usage objects of this document, outermost first; most are None."""
        # Kimi reports it within its choice.
        choices = _list(_value(self.choices)) if b'"usage"' in bytes(self.choices) else []
        inside = [choice.get("usage") for choice in choices if isinstance(choice, Mapping)]
        ollama = {"prompt_eval_count": self.prompt_eval_count, "eval_count": self.eval_count}
        return [self.usage, self.usage_metadata, self.bedrock_metrics, ollama if self.done is True else None, *inside]

    def inner(self) -> list[Envelope]:
        """Returns the envelopes within this one, in which some providers put model, usage and errors."""
        kind = self.type if isinstance(self.type, str) else ""
        # Only Responses put the answer there, whose own usage is nowhere else.
        inside = [self.response] if kind.startswith("response.") or (not kind and self.usage is None) else []
        inside += [self.message] if kind == "message_start" else []
        inside += [self.delta] if kind == "message-end" else []
        inside += [self.x_groq]
        found = [envelope for raw in inside if (envelope := _object(raw)) is not None]
        metadata = _object(self.metadata)
        if metadata is not None and isinstance(metadata.usage, Mapping) and "inputTokens" in metadata.usage:
            # Bedrock's ConverseStream; anybody else's metadata are the client's.
            found.append(metadata)
        return found

    def failure(self) -> str | None:
        """Returns the error that this document reports, or None."""
        if isinstance(self.error, Mapping) and not any(self.error.values()):
            return None
        if self.error:
            return describe_error(self.error)
        if self.type == "error" or self.object_type == "error":
            return describe_error({"code": self.code, "message": _value(self.message)})
        if self.type == "response.failed":
            response = _object(self.response)
            return describe_error(response.error if response is not None else None)
        if self.status == "failed" and self.object_type == "response":
            return describe_error(None)
        return self._failed_choice()

    def _failed_choice(self) -> str | None:
        """Returns the error of a choice, as OpenRouter reports it."""
        choices = bytes(self.choices)
        if b'"error"' not in choices:
            return None
        for choice in _list(_value(choices)):
            if isinstance(choice, Mapping) and (choice.get("error") or choice.get("finish_reason") == "error"):
                return describe_error(choice.get("error"))
        return None

    def is_last(self) -> bool:
        """Whether the provider says that its answer ends here, apart from a finish reason."""
        return self.done is True or (isinstance(self.type, str) and self.type in _LAST_TYPES)

    def is_streamed(self) -> bool:
        """Whether this is an event of a stream whose last event `is_last` knows."""
        return self.done is False or (isinstance(self.type, str) and self.type.startswith(_STREAM_TYPES))

    def answers(self) -> bytes:
        """Returns the JSON of the choices or candidates, for `is_finished`; empty if there are none."""
        answers = bytes(self.choices) or bytes(self.candidates)
        return answers if answers[1:2] not in (b"]", b"u", b"") else b""


def read_envelope(document: bytes) -> list[Envelope]:
    """Returns the envelope of a JSON document, or of each in an array, as Gemini streams; none if it is not JSON."""
    if document.lstrip()[:1] == b"[":
        return decode_loosely(_decode_many, document) or []
    envelope = decode_loosely(_decode, document)
    return [] if envelope is None else [envelope]


def has_content(document: bytes) -> bool:
    """Whether an event of a stream brings text, reasoning, audio or a call of a tool; a role alone is no content."""
    try:
        return _holds_content(decode_loosely(_decode_any, document))
    except RecursionError:
        return True


def read_content_alone(event: bytes) -> Envelope | None:
    """Returns the envelope of an event that brings content and nothing else; None for any other, and what is no JSON.

    Decoding it takes no longer than searching it for two names (measured: 0.6 µs on Python 3.11).
    """
    try:
        envelope = _decode(event)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    is_alone = (
        envelope.usage is None
        and envelope.error is None
        and (envelope.type is None or str(envelope.type).endswith("delta"))
        and envelope.usage_metadata is None
        and envelope.bedrock_metrics is None
        and envelope.done is not True
        and envelope.response is _EMPTY
        and envelope.metadata is _EMPTY
        and envelope.x_groq is _EMPTY
        and b'"usage"' not in bytes(envelope.choices)
        and b'"error"' not in bytes(envelope.choices)
    )
    return envelope if is_alone else None


def is_json(document: bytes) -> bool:
    """Whether a document is JSON of any kind."""
    return document.strip() == b"null" or decode_loosely(_decode_any, document) is not None


def is_finished(answers: bytes) -> bool:
    """Whether choices or candidates have the reason for which they ended."""
    choices = _value(answers)
    return isinstance(choices, list) and any(
        isinstance(choice, Mapping) and (choice.get("finish_reason") or choice.get("finishReason"))
        for choice in choices
    )


def describe_error(error: object) -> str:
    """Returns an error as one line: its code or type, and its message; of a str the text."""
    if not isinstance(error, Mapping):
        return (error if isinstance(error, str) else "")[:MAX_FAILURE_CHARS] or "the provider reported an error"
    name = next((error[key] for key in ("code", "type", "status") if error.get(key)), None)
    text = error.get("message")
    parts = [str(part) for part in (name, text) if isinstance(part, str | int) and part != ""]
    return ": ".join(parts)[:MAX_FAILURE_CHARS] or "the provider reported an error"


_decode = msgspec.json.Decoder(Envelope).decode
_decode_many = msgspec.json.Decoder(list[Envelope]).decode
_decode_any = msgspec.json.Decoder().decode


def _object(raw: msgspec.Raw) -> Envelope | None:
    data = bytes(raw)
    return next(iter(read_envelope(data)), None) if data[:1] == b"{" else None


def _value(raw: bytes | msgspec.Raw) -> object:
    return decode_loosely(_decode_any, bytes(raw))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _holds_content(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_holds_content, value))
    if not isinstance(value, Mapping):
        return False
    return any(
        bool(inner)
        if (key in _TEXT_KEYS and isinstance(inner, str)) or (key in _CALL_KEYS)
        else key in _CONTAINERS and _holds_content(inner)
        for key, inner in value.items()
    )
