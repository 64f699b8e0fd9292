"""What a request asks for: its model, and whether the answer is to be streamed. The prompt is skipped."""

from __future__ import annotations

import msgspec

from .loose_json import decode_loosely

MAX_REQUEST_BYTES = 1_048_576
"""Longest request body that is parsed for the model, in bytes; otherwise the model comes from the response."""


class RequestFields(msgspec.Struct):
    """The members of a request that are read."""

    model: object = None
    stream: object = None

    def named_model(self) -> str | None:
        """Returns the model that is asked for."""
        return self.model if isinstance(self.model, str) and self.model else None


def read_request(body: bytes) -> RequestFields:
    """Returns what a body asks for; nothing if it is too long or not JSON."""
    fields = decode_loosely(_decode, body) if len(body) <= MAX_REQUEST_BYTES else None
    return fields or RequestFields()


_decode = msgspec.json.Decoder(RequestFields).decode
