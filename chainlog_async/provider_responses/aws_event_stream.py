"""Reads Amazon's binary event stream, as Bedrock answers ConverseStream and InvokeModelWithResponseStream.

A message is its length and that of its headers (4 bytes each, big-endian), a checksum of both (4), the headers, the
payload, and a checksum of all (4).
"""

from __future__ import annotations

import struct
import zlib

from .failures import CUT_SHORT, describe_error
from .long_document import MAX_DOCUMENT_BYTES
from .loose_json import decode_any
from .response_reader import ResponseReader

MAX_MESSAGE_BYTES = 25_165_824
"""Longest message that Amazon's clients accept, in bytes: 24 MiB."""

_PRELUDE = struct.Struct(">III")
_CHECKSUM_BYTES = 4
_VALUE_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_STRING = 7
_BYTES = 6


class AwsEventReader(ResponseReader):
    """Reads messages; of one that is longer than `MAX_DOCUMENT_BYTES` nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stream = True
        self._buffer = bytearray()
        self._to_skip = 0
        self._is_garbled = False

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk: each message once it is complete."""
        if self._is_garbled:
            return
        skipped = min(self._to_skip, len(chunk))
        self._to_skip -= skipped
        self._buffer += chunk[skipped:]
        place = 0
        while not self._is_garbled and len(self._buffer) - place >= _PRELUDE.size:
            length, header_length, checksum = _PRELUDE.unpack_from(self._buffer, place)
            if checksum != zlib.crc32(self._buffer[place : place + 8]) or not (
                _PRELUDE.size + header_length + _CHECKSUM_BYTES <= length <= MAX_MESSAGE_BYTES
            ):
                self._is_garbled = True
                self._buffer.clear()
                return
            rest = len(self._buffer) - place
            if length > MAX_DOCUMENT_BYTES:
                self.has_content = True
                self._to_skip = max(0, length - rest)
                place += min(length, rest)
            elif length <= rest:
                self._note_message(bytes(self._buffer[place : place + length]), header_length)
                place += length
            else:
                break
        del self._buffer[:place]

    def finish(self) -> None:
        """Judges whether the stream is complete."""
        if self._is_garbled:
            self.failure = self.failure or "the event stream cannot be read"
        elif not self._has_ended:
            self.failure = self.failure or CUT_SHORT

    def _note_message(self, message: bytes, header_length: int) -> None:
        start = _PRELUDE.size + header_length
        headers = _read_headers(message[_PRELUDE.size : start])
        payload = message[start:-_CHECKSUM_BYTES]
        kind = headers.get(":message-type")
        if kind == "error":
            error = {"code": headers.get(":error-code"), "message": headers.get(":error-message")}
            self.failure = self.failure or describe_error(error)
        elif kind == "exception":
            value = decode_any(payload)
            text = value.get("message") if isinstance(value, dict) else None
            error = {"code": headers.get(":exception-type"), "message": text}
            self.failure = self.failure or describe_error(error)
        elif name := headers.get(":event-type"):
            self._note_document(b'{"%s":%s}' % (name.encode(), payload or b"{}"))


def _read_headers(data: bytes) -> dict[str, str]:
    """Returns the headers that are texts."""
    headers: dict[str, str] = {}
    place = 0
    while place < len(data):
        name_end = place + 1 + data[place]
        name = data[place + 1 : name_end].decode("utf-8", "replace")
        kind = data[name_end] if name_end < len(data) else -1
        place = name_end + 1
        if kind in (_STRING, _BYTES):
            length = int.from_bytes(data[place : place + 2], "big")
            if kind == _STRING:
                headers[name] = data[place + 2 : place + 2 + length].decode("utf-8", "replace")
            place += 2 + length
        elif kind in _VALUE_BYTES:
            place += _VALUE_BYTES[kind]
        else:
            break
    return headers
