"""Events that bring content and nothing else, which are most events of a stream: told from the others cheaply."""

from __future__ import annotations

from typing import cast

import msgspec

from .envelope import Envelope


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    usage: None = None
    error: None = None


class _Object(msgspec.Struct):
    pass


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    type: str | None = None
    # Ollama's, Cloudflare's
    message: _Object | None = None
    response: str | None = None
    done: bool = False


_ALLOWED = {"choices", "data", "delta", "done", "message", "model", "object", "response", "type"}
_ContentEvent = cast(
    type[_Event],
    msgspec.defstruct(
        "_ContentEvent",
        # Any other member that is read of a document makes decoding fail, unless it is null.
        [
            (field.name, None, msgspec.field(default=None, name=field.encode_name))
            for field in msgspec.structs.fields(Envelope)
            if field.encode_name not in _ALLOWED
        ],
        bases=(_Event,),
    ),
)
_decode = msgspec.json.Decoder(_ContentEvent).decode


def is_content_alone(event: bytes) -> bool:
    """Whether the data of an event tell nothing but a part of the answer, which goes on after it."""
    try:
        read = _decode(event)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    kind = read.type
    if read.done or (kind is not None and (kind == "message_delta" or not kind.endswith("delta"))):
        return False
    # A loop, because a generator would cost as much as decoding.
    for choice in read.choices or ():  # noqa: SIM110
        if choice.finish_reason:
            return False
    return True
