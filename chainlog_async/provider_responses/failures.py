"""The failures that providers report within an answer whose status says that all is well."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .envelope import Answer, Envelope, as_envelope, as_value

CUT_SHORT = "the stream ended before the answer was complete"
BROKEN_JSON = "the answer is no complete JSON"

MAX_FAILURE_CHARS = 2_000

_NAME = re.compile(r"[A-Za-z][\w.-]{0,99}")

_UNNAMED = "the provider reported an error"

_BEDROCK_ERRORS = {
    "internal_server": "internalServerException",
    "model_stream_error": "modelStreamErrorException",
    "model_timeout": "modelTimeoutException",
    "service_unavailable": "serviceUnavailableException",
    "throttling": "throttlingException",
    "validation": "validationException",
}
"""The exceptions in Bedrock's streams, by their attribute."""


def failure_of(envelope: Envelope, answers: Sequence[Answer]) -> str | None:
    """Returns the error that a document reports, or None.

    What a filter withheld is no failure: the provider answered, and said why it stopped.
    """
    if isinstance(envelope.error, dict):
        if _is_error(envelope.error):
            return describe_error(envelope.error)
    elif envelope.error or envelope.type == "error" or envelope.object_type == "error":
        error = envelope.error if isinstance(envelope.error, str) else None
        return describe_error(error or {"code": envelope.code, "message": as_value(envelope.message)})
    if envelope.type == "response.failed":
        response = as_envelope(envelope.response)
        return describe_error(response.error if response is not None else None)
    if envelope.status == "failed" and envelope.object_type in ("response", "realtime.response"):
        details = envelope.status_details
        return describe_error(details.get("error") if isinstance(details, dict) else None)
    return _failed_bedrock(envelope) or _failed_code(envelope) or _failed_reason(envelope, answers)


def error_name_of(envelope: Envelope) -> str | None:
    """Returns the code or type of a reported error, without its message, which may quote the prompt."""
    error = envelope.error
    if not isinstance(error, dict):
        return None
    names = (error.get(key) for key in ("code", "status", "type"))
    return next((name for name in names if isinstance(name, str) and _NAME.fullmatch(name)), None)


def is_failed_reason(reason: object) -> bool:
    """Whether an answer ended for an error: OpenRouter, Mistral, and Cohere (``ERROR_TOXIC``, ``TIMEOUT``)."""
    return isinstance(reason, str) and (reason.upper() in ("ERROR", "TIMEOUT") or reason.startswith("ERROR_"))


def describe_error(error: object) -> str:
    """Returns an error as one line: its code or type, and its message; of a str the text."""
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else "")[:MAX_FAILURE_CHARS] or _UNNAMED
    name = next((error[key] for key in ("code", "type", "status", "status_code") if error.get(key)), None)
    text = next((error[key] for key in ("message", "msg", "detail", "error") if error.get(key)), None)
    parts = [str(part) for part in (name, text) if isinstance(part, str | int) and part != ""]
    return ": ".join(parts)[:MAX_FAILURE_CHARS] or _UNNAMED


def _failed_bedrock(envelope: Envelope) -> str | None:
    for attribute, name in _BEDROCK_ERRORS.items():
        error = getattr(envelope, attribute)
        if isinstance(error, dict):
            return describe_error({"code": name, "message": error.get("message") or error.get("originalMessage")})
    return None


def _failed_code(envelope: Envelope) -> str | None:
    """Returns the error that MiniMax, Baidu or Cloudflare report by a code of their own."""
    base = envelope.base_resp
    if isinstance(base, dict) and _is_code(base.get("status_code")):
        return describe_error({"code": base["status_code"], "message": base.get("status_msg")})
    if _is_code(envelope.error_code):
        return describe_error({"code": envelope.error_code, "message": envelope.error_msg})
    if envelope.success is False:
        errors = envelope.errors
        return describe_error(errors[0] if isinstance(errors, list) and errors else as_value(envelope.message))
    return None


def _failed_reason(envelope: Envelope, answers: Sequence[Answer]) -> str | None:
    if is_failed_reason(envelope.finish_reason):
        # The message of a failed answer is its text; of an error of Cohere's stream it is a str within the delta.
        return describe_error({"code": envelope.finish_reason})
    for answer in answers:
        if failed := _failed_answer(answer):
            return failed
    return None


def _failed_answer(answer: Answer) -> str | None:
    if _is_error(answer.error):
        return describe_error(answer.error)
    return describe_error({"code": answer.finish_reason}) if is_failed_reason(answer.finish_reason) else None


def _is_error(error: object) -> bool:
    return any(error.values()) if isinstance(error, dict) else bool(error)


def _is_code(code: object) -> bool:
    """Whether a code is one of an error."""
    return bool(code) and not (isinstance(code, str) and code.upper() in ("0", "OK", "SUCCESS"))
