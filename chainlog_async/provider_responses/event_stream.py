"""Reads a stream of server-sent events."""

from __future__ import annotations

from .failures import CUT_SHORT, describe_error
from .long_document import MAX_DOCUMENT_BYTES, Document
from .loose_json import decode_any
from .response_reader import LineReader

_BOM = b"\xef\xbb\xbf"
_TOLD_BY_NAME = (b"error", b"output", b"done")


class EventReader(LineReader):
    """Reads a stream of server-sent events, whichever way its lines end."""

    def __init__(self) -> None:
        super().__init__()
        self._has_data = False
        self._is_between_events = True
        self._is_after_cr = False
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk: each event once it is complete."""
        # Most chunks are one event.
        if self._is_between_events and chunk[-2:] == b"\n\n" and b"\r" not in chunk and len(chunk) < MAX_DOCUMENT_BYTES:
            lines = chunk.count(b"\n")
            if lines == 2 and chunk[:5] == b"data:":
                self._note_event(b"", chunk[5:-2])
                return
            if lines == 3 and chunk[:6] == b"event:":
                name, _, data = chunk[6:-2].partition(b"\n")
                if data[:5] == b"data:":
                    self._note_event(name.strip(), data[5:])
                    return
        super().add(self._with_newlines(chunk))
        self._is_between_events = not (self._partial or self._data or self._name or self._is_after_cr)

    def finish(self) -> None:
        """Reads what is left, and judges whether the stream is complete."""
        self._note_partial()
        self._note_line(b"")
        super().finish()
        if not self._has_data:
            self.failure = self.failure or CUT_SHORT

    def _with_newlines(self, chunk: bytes) -> bytes:
        """Returns a chunk whose lines end with a newline, also where a carriage return alone ends them."""
        if self._is_after_cr and chunk:
            chunk, self._is_after_cr = chunk.removeprefix(b"\n"), False
        if b"\r" in chunk:
            self._is_after_cr = chunk[-1:] == b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _note_line(self, line: bytes) -> None:
        if line.startswith(_BOM):
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:"):
            self._size += len(line)
            if self._size <= MAX_DOCUMENT_BYTES:
                self._data.append(line[5:])
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif not line:
            if self._data or self._name:
                self._note_event(self._name, b"\n".join(self._data))
            self._name, self._data, self._size = b"", [], 0
        elif line.startswith(b"{"):
            # Not an event, but what a provider answered instead of a stream.
            self._note_event(b"", line)

    def _note_long_line(self, line: Document) -> None:
        if line.is_object():
            self._has_data = True
            super()._note_long_line(line)

    def _note_event(self, name: bytes, data: bytes) -> None:
        self._has_data = True
        if name not in _TOLD_BY_NAME and self._is_content_alone(data):
            return
        if data.strip() == b"[DONE]":
            self._has_ended = True
            return
        self._note_document(data)
        if name in _TOLD_BY_NAME:
            self._note_named(name, data)

    def _note_named(self, name: bytes, data: bytes) -> None:
        """Notes an event whose name tells more than its data, such as those of Replicate's streams of plain text."""
        value = decode_any(data)
        if name == b"error":
            text = data.decode("utf-8", "replace").strip()
            self.failure = self.failure or describe_error(text if value is None else value)
        elif name == b"output":
            self._is_known = True
            self.has_content = self.has_content or bool(data.strip())
        else:
            self._has_ended = True
            if isinstance(value, dict) and value.get("reason") == "error":
                self.failure = self.failure or describe_error({"code": "error"})
