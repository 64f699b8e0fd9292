"""How a provider says that its stream goes on, or that it ends here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .envelope import EMPTY, Answer, Envelope, as_list, as_value

_LAST_TYPES = frozenset(
    {
        "message_stop",
        "message_delta",
        "message-end",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "response.done",
        "transcript.text.done",
        "image_generation.completed",
        "image_edit.completed",
        "speech.audio.done",
    }
)
"""Types of the event that ends an answer: Anthropic, Cohere, OpenAI's Responses, Realtime, audio and images."""

_REASONS = ("stop_reason", "stopReason", "finish_reason", "reason")

_STREAM_TYPES = (
    "response.",
    "message_start",
    "message-start",
    "content_block",
    "content-",
    "tool-",
    "transcript.",
    "image_generation.",
    "image_edit.",
    "speech.",
)


def is_last(envelope: Envelope, answers: Sequence[Answer]) -> bool:
    """Whether the provider says that its answer ends here."""
    if isinstance(envelope.type, str) and envelope.type in _LAST_TYPES:
        return True
    return (
        envelope.done is True
        or envelope.is_finished is True
        or envelope.is_end is True
        or envelope.event_type == "stream-end"
        or envelope.message_stop is not EMPTY
        or _is_text(envelope.completion_reason)
        or _is_text(envelope.finish_reason)
        or _is_text(envelope.stop_reason)
        or bytes(envelope.generated_text)[:1] == b'"'
        or _is_blocked(envelope)
        or any(map(_is_finished, answers))
        or any(map(_is_finished_result, as_list(envelope.results) if envelope.results is not EMPTY else ()))
    )


def finish_reason_of(envelope: Envelope, answers: Sequence[Answer]) -> str | None:
    """Returns why the answer ended, in the provider's own word, if that is told here; of several choices the first."""
    inner = [envelope.incomplete_details]
    if envelope.type in ("message_delta", "message-end"):
        inner.append(_object(envelope.delta))
    inner.append(_object(envelope.message_stop))
    reasons = [reason for answer in answers for reason in (answer.finish_reason, answer.gemini_reason)]
    reasons += [envelope.finish_reason, envelope.stop_reason, envelope.bedrock_reason, envelope.done_reason]
    reasons.append(envelope.completion_reason)
    reasons += [value.get(name) for value in inner if isinstance(value, dict) for name in _REASONS]
    return next((reason for reason in reasons if isinstance(reason, str) and reason), None)


def _object(raw: msgspec.Raw) -> object:
    return None if raw is EMPTY else as_value(raw)


def is_streamed(envelope: Envelope, answers: Sequence[Answer]) -> bool:
    """Whether this is an event of a stream whose last event `is_last` knows."""
    return (
        envelope.done is False
        or envelope.is_finished is False
        or envelope.is_end is False
        or (isinstance(envelope.type, str) and envelope.type.startswith(_STREAM_TYPES))
        or envelope.message_start is not EMPTY
        or envelope.block_delta is not EMPTY
        or envelope.generation is not EMPTY
        or envelope.token is not EMPTY
        or bool(answers)
    )


def _is_finished(answer: Answer) -> bool:
    """Whether a choice or candidate has the reason for which it ended."""
    return bool(answer.finish_reason or answer.gemini_reason)


def _is_blocked(envelope: Envelope) -> bool:
    """Whether Gemini answers with nothing, because of what was asked."""
    feedback = envelope.prompt_feedback
    return isinstance(feedback, dict) and bool(feedback.get("blockReason") or feedback.get("block_reason"))


def _is_finished_result(result: object) -> bool:
    # watsonx says "not_finished" until it is.
    return isinstance(result, dict) and result.get("stop_reason") not in (None, "not_finished")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
