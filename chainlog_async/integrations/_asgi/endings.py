"""How a provider says that its stream goes on, or that it ends here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .envelope import EMPTY, Answer, Envelope, as_list

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
    return isinstance(feedback, Mapping) and bool(feedback.get("blockReason") or feedback.get("block_reason"))


def _is_finished_result(result: object) -> bool:
    # watsonx says "not_finished" until it is.
    return isinstance(result, Mapping) and result.get("stop_reason") not in (None, "not_finished")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
