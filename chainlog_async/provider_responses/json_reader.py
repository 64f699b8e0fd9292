"""Reads a body of JSON: one document, an array of them as Gemini streams it, or one per line as Ollama does."""

from __future__ import annotations

from collections.abc import Callable

from .envelope import Envelope, is_json, read_envelopes
from .failures import BROKEN_JSON, CUT_SHORT
from .long_document import MAX_DOCUMENT_BYTES, Document, JsonSplitter, LongObject
from .response_reader import LineReader, ResponseReader
from .token_classes import TokenClasses
from .token_usage import ReportedUsage

_BOM = b"\xef\xbb\xbf"


class DocumentReader(ResponseReader):
    """Reads a body that is one document."""

    def __init__(self) -> None:
        super().__init__()
        self._document = Document()

    def add(self, chunk: bytes) -> None:
        """Keeps the next chunk."""
        self._document.add(chunk)

    def finish(self) -> None:
        """Reads the document."""
        data = self._document.read()
        is_read = bool(self._note_envelopes(data)) or not data.strip() or is_json(data)
        if not (is_read and self._document.is_complete()):
            self.failure = self.failure or BROKEN_JSON


class ArrayReader(ResponseReader):
    """Reads an array of documents, each once it is complete."""

    def __init__(self) -> None:
        super().__init__()
        self._long: LongObject | None = None
        self._splitter = JsonSplitter(self._note_element, self._begin_long, MAX_DOCUMENT_BYTES)

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk."""
        self._splitter.add(chunk)
        self.is_stream = self._is_known

    def finish(self) -> None:
        """Reads what is left; an array that is closed is complete, whatever its last document says."""
        self._end_long()
        if not self._splitter.is_closed or self._splitter.has_rest:
            self.failure = self.failure or BROKEN_JSON

    def _note_element(self, element: bytes) -> None:
        self._end_long()
        if not self._note_document(element) and element.strip() and not is_json(element):
            self.failure = self.failure or BROKEN_JSON

    def _begin_long(self, start: bytes) -> Callable[[bytes], None] | None:
        self._end_long()
        self.has_content = True
        if start.lstrip()[:1] != b"{":
            return None
        self._long = LongObject()
        self._long.add(start)
        return self._long.add

    def _end_long(self) -> None:
        element, self._long = self._long, None
        if element is not None:
            self._note_document(element.as_json())


class DocumentsReader(LineReader):
    """Reads one document per line, of which there may be only one."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stream = False
        self._count = 0

    def finish(self) -> None:
        """Reads what is left, and judges whether the stream is complete, if it is one."""
        self._note_partial()
        if self.is_stream and self._is_known and not self._has_ended:
            self.failure = self.failure or CUT_SHORT

    def _note_line(self, line: bytes) -> None:
        if line.strip():
            self._count += 1
            self.is_stream = self._count > 1
        super()._note_line(line)

    def _note_document(self, document: bytes) -> list[Envelope]:
        envelopes = super()._note_document(document)
        if not envelopes and not is_json(document):
            self.failure = self.failure or BROKEN_JSON
        return envelopes


class JsonReader(ResponseReader):
    """Reads a body of JSON, once its start tells which kind it is of."""

    def __init__(self) -> None:
        super().__init__()
        self._start = bytearray()
        self._body: ResponseReader | None = None

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk: each document of several once it is complete."""
        if self._body is None:
            self._start += chunk
            self._body = _choose(bytes(self._start))
            if self._body is None:
                return
            chunk = bytes(self._start)
            self._start.clear()
        self._body.add(chunk)
        self.has_content, self.is_stream = self._body.has_content, self._body.is_stream

    def finish(self) -> None:
        """Reads what is left, and judges whether it is complete."""
        if self._body is None:
            self._body = DocumentReader()
            self._body.add(bytes(self._start))
        self._body.finish()
        self.model, self.failure = self._body.model, self._body.failure
        self.error_name = self._body.error_name
        self.response_id, self.service_tier = self._body.response_id, self._body.service_tier
        self.finish_reason = self._body.finish_reason
        self.has_content, self.is_stream = self._body.has_content, self._body.is_stream

    def usage(self) -> ReportedUsage:
        """Returns the tokens that were reported so far."""
        return super().usage() if self._body is None else self._body.usage()

    def classes(self) -> TokenClasses:
        """Returns the classes of tokens that were reported so far."""
        return super().classes() if self._body is None else self._body.classes()

    def cost(self) -> float | None:
        """Returns what the provider says it charges, in US dollars."""
        return super().cost() if self._body is None else self._body.cost()


def _choose(start: bytes) -> ResponseReader | None:
    """Returns a reader for a body that starts so; None as long as that is open."""
    text = start.removeprefix(_BOM).lstrip()
    if text[:1] == b"[":
        inner = text[1:].lstrip()[:1]
        if inner:
            return ArrayReader() if inner == b"{" else DocumentReader()
    elif text[:1] == b"{":
        end = start.find(b"\n", start.index(b"{"), MAX_DOCUMENT_BYTES)
        if end >= 0:
            return DocumentsReader() if read_envelopes(start[:end]) else DocumentReader()
    elif text:
        return DocumentReader()
    return DocumentReader() if len(start) >= MAX_DOCUMENT_BYTES else None
