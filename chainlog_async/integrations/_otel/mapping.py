"""Reduces a decoded span to what is kept of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from chainlog_async.entry.model import MAX_COST_USD, MAX_COUNT, MAX_NAME_CHARS

from . import attributes as names
from .span import CallFacts, Span

Value = str | int | float | bool | None
Attributes = Mapping[str, Value]
"""The allowed attributes of a span or a resource; of an array its first element."""

Event = tuple[str, int, Attributes]
"""Name, time in ns since the epoch, and allowed attributes."""

ATTEMPT_NAME: Final = "provider attempt"
"""How the name of a span begins that is one attempt of its parent."""

_STATUS_IN_TEXT = re.compile(r"\bError code: ([1-5]\d\d)\b")
_STATUS = re.compile(r"[1-5]\d\d")
_CLASS_NAME = re.compile(r"[A-Za-z0-9_.:<>-]{1,128}")

_STATUS_OF_CLASS: Final = {
    "RateLimitError": 429,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "BadRequestError": 400,
    "ConflictError": 409,
    "RequestTooLargeError": 413,
    "UnprocessableEntityError": 422,
    "InternalServerError": 500,
    "APIConnectionError": 502,
    "ServiceUnavailableError": 503,
    "APITimeoutError": 504,
    "Timeout": 504,
    "timeout": 504,
    "OverloadedError": 529,
    "CancelledError": 499,
}
"""Status by the class of an error, of OpenAI's, Anthropic's and LiteLLM's SDK."""

UNKNOWN_ERROR: Final = "_OTHER"
"""OpenTelemetry's own word for an error of no known class."""


class Resource(msgspec.Struct, frozen=True):
    """What all spans of a process have in common."""

    source: str
    service: str | None
    caller: str | None
    session: str | None
    chain: str | None


def resource_of(found: Attributes) -> Resource:
    """Returns what a resource tells."""
    service = _text(found, (names.SERVICE,))
    source = f"{service or ''}\0{_text(found, (names.INSTANCE,)) or ''}"
    return Resource(source, service, _text(found, names.CALLER), _text(found, names.SESSION), _text(found, names.CHAIN))


def reduced(  # noqa: PLR0913  # one argument for each part of a span
    *,
    ids: tuple[str, str, str],
    name: str,
    times_ns: tuple[int, int],
    found: Attributes,
    events: Sequence[Event],
    message: str,
    failed: bool,
    resource: Resource,
    scope: str,
) -> Span:
    """Returns what is kept of a span; `ids` are those of its trace, itself and its parent.

    `found` are its allowed attributes, `message` is that of its status, of which only an HTTP status is taken, and
    `failed` whether its status is an error.
    """
    is_attempt = name[: len(ATTEMPT_NAME)].lower() == ATTEMPT_NAME
    call = None
    if is_attempt or _is_call(found):
        call = _call(found, events, message, failed=failed, start_ns=times_ns[0])
    span = Span(
        trace_id=ids[0],
        span_id=ids[1],
        parent_id=ids[2],
        start_ns=times_ns[0],
        end_ns=max(times_ns),
        source=resource.source,
        scope=scope[:MAX_NAME_CHARS],
        is_attempt=is_attempt,
        call=call,
        caller=resource.caller,
        session=resource.session,
        chain=resource.chain,
        service=resource.service,
    )
    # Most spans have none of these, and looking for each of them takes time.
    if not names.BELONGING.isdisjoint(found):
        span.caller = _text(found, names.CALLER) or resource.caller
        span.session = _text(found, names.SESSION) or resource.session
        span.chain = _text(found, names.CHAIN) or resource.chain
        span.agent = _text(found, names.AGENT)
        span.resends = _count(found, names.RESENDS)
    return span


def _is_call(found: Attributes) -> bool:
    for name in names.OPERATION:
        if name in found:
            return found[name] in names.CALLS
    return found.get(names.KIND) in names.CALL_KINDS


def _call(found: Attributes, events: Sequence[Event], message: str, *, failed: bool, start_ns: int) -> CallFacts:
    known: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    fields = names.FIELDS
    for name, value in found.items():
        if name not in fields:
            continue
        field, rank, is_count = fields[name]
        if field in known and rank > ranks[field]:
            continue
        read = count_of(value) if is_count else text_of(value)
        if read is not None:
            known[field] = read
            ranks[field] = rank
    facts = CallFacts(**known)
    if facts.provider is not None:
        facts.provider = facts.provider.lower()
    if facts.request_model is None:
        facts.request_model = _asked_model(found)
    if events or not names.COST_AND_TIMES.isdisjoint(found):
        facts.cost_usd = number_of(_first(found, names.COST), MAX_COST_USD)
        duration_s = number_of(found.get(names.DURATION), MAX_COUNT)
        facts.duration_ms = None if duration_s is None else duration_s * 1000
        facts.ttft_ms = _ttft_ms(found, events, start_ns)
        streamed = _first(found, names.STREAMED)
        facts.streamed = streamed if isinstance(streamed, bool) else (True if facts.ttft_ms is not None else None)
    if failed or not names.OUTCOME.isdisjoint(found):
        _set_outcome(facts, found, events, message, failed=failed)
    return facts


def _asked_model(found: Attributes) -> str | None:
    parameters = _first(found, names.PARAMETERS)
    if not isinstance(parameters, str):
        return None
    try:
        return text_of(_parameters.decode(parameters).model)
    except (msgspec.MsgspecError, RecursionError):
        return None


class _Parameters(msgspec.Struct):
    model: str | None = None


_parameters = msgspec.json.Decoder(_Parameters)


def _ttft_ms(found: Attributes, events: Sequence[Event], start_ns: int) -> float | None:
    seconds = number_of(_first(found, names.FIRST_CHUNK_S), MAX_COUNT / 1000)
    if seconds is not None:
        return seconds * 1000
    milliseconds = number_of(_first(found, names.FIRST_CHUNK_MS), MAX_COUNT)
    if milliseconds is not None:
        return milliseconds
    firsts = [time_ns for name, time_ns, _ in events if name in names.FIRST_CHUNK_EVENTS and time_ns >= start_ns]
    return (min(firsts) - start_ns) / 1_000_000 if firsts else None


def _set_outcome(facts: CallFacts, found: Attributes, events: Sequence[Event], message: str, *, failed: bool) -> None:
    named = _text(found, names.ERROR_TYPE)
    error = class_of(named)
    status = _count(found, names.STATUS)
    if status is not None and 100 <= status <= 599:
        facts.status = status
    if not failed and named is None and (facts.status or 0) < 400:
        return
    exceptions = [told for name, _, told in events if name == names.EXCEPTION_EVENT]
    # Its own attribute is often the same class without its module.
    error = error or next((name for told in exceptions if (name := class_of(told.get("exception.type")))), None)
    facts.error_type = error or UNKNOWN_ERROR
    if facts.status is None:
        texts = [message, *(str(told.get("exception.message") or "") for told in exceptions)]
        facts.status = status_of_error(error or "", texts)


def class_of(value: Value) -> str | None:
    """Returns the class or the code of an error, else None: a sentence may quote a prompt."""
    text = text_of(value)
    return text if text is not None and _CLASS_NAME.fullmatch(text) else None


def status_of_error(error: str, texts: Sequence[str] = ()) -> int | None:
    """Returns the HTTP status that the class of an error or one of its messages means, else None."""
    if _STATUS.fullmatch(error):
        return int(error)
    for text in texts:
        if told := _STATUS_IN_TEXT.search(text[:1000]):
            return int(told[1])
    return _STATUS_OF_CLASS.get(error.rpartition(".")[2])


def _first(found: Attributes, known: Sequence[str]) -> Value:
    for name in known:
        if name in found:
            return found[name]
    return None


def _text(found: Attributes, known: Sequence[str]) -> str | None:
    for name in known:
        if name in found and (text := text_of(found[name])):
            return text
    return None


def _count(found: Attributes, known: Sequence[str]) -> int | None:
    return count_of(_first(found, known))


def text_of(value: Value) -> str | None:
    """Returns a text that fits a name, else None; a number as text."""
    if isinstance(value, str):
        text = value
    elif value is None or isinstance(value, bool):
        return None
    else:
        text = str(value)
    if not text.isascii() or "\0" in text:
        text = text.replace("\0", "").encode("utf-8", "replace").decode()
    return text[:MAX_NAME_CHARS].strip() or None


def number_of(value: Value, maximum: float) -> float | None:
    """Returns a number from 0 to the maximum, also one that is written as a text; else None."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number <= maximum else None


def count_of(value: Value) -> int | None:
    """Returns a whole number from 0 on, also one that is written as a text; else None."""
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else None
    number = number_of(value, MAX_COUNT)
    return None if number is None else int(number)
