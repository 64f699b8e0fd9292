"""What is read of a provider's document: who answered, its usage, its end and its errors, never what it says.

A document is a JSON response, or one event of a stream.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from .loose_json import decode_any, decode_loosely

EMPTY = msgspec.Raw(b"")


class Envelope(msgspec.Struct):
    """The fields around the content, of all providers; the rest is skipped."""

    choices: msgspec.Raw = EMPTY
    usage: object = None
    id: object = None
    service_tier: object = None
    type: object = None
    object_type: object = msgspec.field(default=None, name="object")
    delta: msgspec.Raw = EMPTY
    message: msgspec.Raw = EMPTY
    response: msgspec.Raw = EMPTY
    model: object = None
    error: object = None
    metadata: msgspec.Raw = EMPTY
    x_groq: msgspec.Raw = EMPTY
    status: object = None
    done: object = None
    done_reason: object = None
    incomplete_details: object = None
    bedrock_reason: object = msgspec.field(default=None, name="stopReason")
    code: object = None
    # Gemini
    candidates: msgspec.Raw = EMPTY
    model_version: object = msgspec.field(default=None, name="modelVersion")
    gemini_id: object = msgspec.field(default=None, name="responseId")
    usage_metadata: object = msgspec.field(default=None, name="usageMetadata")
    # Gemini as its Python client writes it
    usage_metadata_snake: object = msgspec.field(default=None, name="usage_metadata")
    prompt_feedback: object = msgspec.field(default=None, name="promptFeedback")
    # Realtime
    status_details: object = None
    # Ollama
    prompt_eval_count: object = None
    eval_count: object = None
    # Cohere
    event_type: object = None
    is_finished: object = None
    finish_reason: object = None
    meta: object = None
    # Bedrock
    bedrock_metrics: object = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")
    chunk: object = None
    message_start: msgspec.Raw = msgspec.field(default=EMPTY, name="messageStart")
    message_stop: msgspec.Raw = msgspec.field(default=EMPTY, name="messageStop")
    block_delta: msgspec.Raw = msgspec.field(default=EMPTY, name="contentBlockDelta")
    internal_server: object = msgspec.field(default=None, name="internalServerException")
    model_stream_error: object = msgspec.field(default=None, name="modelStreamErrorException")
    model_timeout: object = msgspec.field(default=None, name="modelTimeoutException")
    service_unavailable: object = msgspec.field(default=None, name="serviceUnavailableException")
    throttling: object = msgspec.field(default=None, name="throttlingException")
    validation: object = msgspec.field(default=None, name="validationException")
    # Titan and Llama on Bedrock
    completion_reason: object = msgspec.field(default=None, name="completionReason")
    titan_prompt: object = msgspec.field(default=None, name="inputTextTokenCount")
    titan_completion: object = msgspec.field(default=None, name="totalOutputTextTokenCount")
    generation: msgspec.Raw = EMPTY
    stop_reason: object = None
    prompt_token_count: object = None
    generation_token_count: object = None
    # watsonx
    model_id: object = None
    results: msgspec.Raw = EMPTY
    input_token_count: object = None
    # Text Generation Inference
    token: msgspec.Raw = EMPTY
    generated_text: msgspec.Raw = EMPTY
    details: object = None
    # Replicate
    metrics: object = None
    # MiniMax, Baidu, Cloudflare
    base_resp: object = None
    error_code: object = None
    error_msg: object = None
    is_end: object = None
    success: object = None
    errors: object = None
    result: msgspec.Raw = EMPTY
    # Embeddings
    data: msgspec.Raw = EMPTY
    embeddings: msgspec.Raw = EMPTY

    def named_model(self) -> str | None:
        """Returns the model that answered, if it is named here."""
        model = self.model or self.model_version or self.model_id
        return model if isinstance(model, str) else None

    def named_id(self) -> str | None:
        """Returns the provider's id of the answer, if it is named here."""
        named = self.id or self.gemini_id
        return named if isinstance(named, str) else None

    def named_tier(self) -> str | None:
        """Returns the tier in which the request was served; Anthropic tells it within the usage."""
        tier = self.service_tier or (self.usage.get("service_tier") if isinstance(self.usage, dict) else None)
        return tier if isinstance(tier, str) and tier else None

    def usages(self, answers: Sequence[Answer]) -> list[object]:
        """Returns the usage objects of this document, outermost first."""
        found = [self._usage(), self.usage_metadata, self.usage_metadata_snake, self.bedrock_metrics]
        found += [_picked(self.meta, _META_COUNTS), _picked(self.details, _DETAILS_COUNTS)]
        found += [_picked(self.metrics, _METRICS_COUNTS)]
        if self.prompt_eval_count is not None or self.eval_count is not None:
            found.append({"prompt_eval_count": self.prompt_eval_count, "eval_count": self.eval_count})
        if self.generation is not EMPTY or self.titan_prompt is not None or self.results is not EMPTY:
            found.append({name: getattr(self, attribute) for attribute, name in _COUNTS.items()})
        if self.results is not EMPTY:
            found += [_picked(result, _RESULT_COUNTS) for result in as_list(self.results)]
        # Kimi reports it within its choice.
        found += [answer.usage for answer in answers]
        return [usage for usage in found if usage is not None]

    def _usage(self) -> object:
        """Returns the usage; the tokens of embeddings and rankings are their prompt, where only the sum is told."""
        usage = self.usage
        if (
            isinstance(usage, dict)
            and (self.data is not EMPTY or self.results is not EMPTY or self.embeddings is not EMPTY)
            and self.choices is EMPTY
            and usage.get("total_tokens")
            and not usage.keys() & {"prompt_tokens", "input_tokens", "completion_tokens", "output_tokens"}
        ):
            return {**usage, "prompt_tokens": usage["total_tokens"]}
        return usage

    def inner(self) -> list[Envelope]:
        """Returns the envelopes within this one, in which some providers put model, usage and errors."""
        kind = self.type if isinstance(self.type, str) else ""
        inside = [self.x_groq]
        # Only Responses put the answer there, whose own usage is nowhere else, and Cohere at the end of a stream.
        if kind.startswith("response.") or self.event_type == "stream-end" or (not kind and self.usage is None):
            inside.append(self.response)
        if kind == "message_start":
            inside.append(self.message)
        if kind == "message-end":
            inside.append(self.delta)
        if self.success is not None:
            inside.append(self.result)
        found = [envelope for raw in inside if raw is not EMPTY and (envelope := as_envelope(raw)) is not None]
        metadata = None if self.metadata is EMPTY else as_envelope(self.metadata)
        if metadata is not None and isinstance(metadata.usage, dict) and "inputTokens" in metadata.usage:
            # Bedrock's ConverseStream; anybody else's metadata are the client's.
            found.append(metadata)
        return found

    def enclosed(self) -> bytes | None:
        """Returns the document that Bedrock's InvokeModelWithResponseStream encloses in this one, if there is one."""
        data = self.chunk.get("bytes") if isinstance(self.chunk, dict) else None
        if not isinstance(data, str):
            return None
        try:
            return base64.b64decode(data)
        except (binascii.Error, ValueError):
            return None

    def answers(self) -> list[Answer]:
        """Returns the choices or candidates, without their content."""
        for raw in (self.choices, self.candidates):
            if raw is not EMPTY and (answers := decode_loosely(_decode_answers, bytes(raw))):
                return answers
        return []


class Answer(msgspec.Struct):
    """One of the choices or candidates of a document."""

    finish_reason: object = None
    gemini_reason: object = msgspec.field(default=None, name="finishReason")
    usage: object = None
    error: object = None


FIELD_NAMES = frozenset(Envelope.__struct_encode_fields__)
"""The names of the members that are read of a document."""

ENVELOPE_NAMES = frozenset({"delta", "message", "metadata", "response", "result", "x_groq"})
"""Those of them that may be envelopes themselves."""

USAGE_NAMES = frozenset({"usage", "usageMetadata", "usage_metadata", "amazon-bedrock-invocationMetrics"})
"""Those of them that count tokens."""

_COUNTS = {
    "prompt_token_count": "prompt_token_count",
    "generation_token_count": "generation_token_count",
    "titan_prompt": "inputTextTokenCount",
    "titan_completion": "totalOutputTextTokenCount",
    "input_token_count": "input_token_count",
}
"""Counts that are told beside the answer, by their attribute."""

_META_COUNTS = ("tokens", "billed_units")
_DETAILS_COUNTS = ("input_length", "generated_tokens")
_METRICS_COUNTS = ("input_token_count", "output_token_count")
_RESULT_COUNTS = ("input_token_count", "generated_token_count", "tokenCount")


def read_envelopes(document: bytes) -> list[Envelope]:
    """Returns the envelope of a JSON document, or of each in an array; none if it is not JSON."""
    if document.lstrip()[:1] == b"[":
        return decode_loosely(_decode_many, document) or []
    envelope = decode_loosely(_decode, document)
    return [] if envelope is None else [envelope]


def is_json(document: bytes) -> bool:
    """Whether a document is JSON of any kind."""
    return document.strip() == b"null" or decode_any(document) is not None


def as_envelope(raw: msgspec.Raw) -> Envelope | None:
    """Returns what is an object as an envelope; None for anything else."""
    data = bytes(raw)
    return decode_loosely(_decode, data) if data[:1] == b"{" else None


def as_value(raw: msgspec.Raw) -> object:
    """Returns a value of any kind."""
    return decode_any(bytes(raw))


def as_list(raw: msgspec.Raw) -> list[object]:
    """Returns an array; an empty one for anything else."""
    value = as_value(raw)
    return value if isinstance(value, list) else []


_decode = msgspec.json.Decoder(Envelope).decode
_decode_many = msgspec.json.Decoder(list[Envelope]).decode
_decode_answers = msgspec.json.Decoder(list[Answer]).decode


def _picked(value: object, names: tuple[str, ...]) -> object:
    return {name: value[name] for name in names if name in value} if isinstance(value, dict) else None
