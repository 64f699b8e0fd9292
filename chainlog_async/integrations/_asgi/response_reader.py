"""Reads model, usage, first content and failures from a response while it passes; content is never kept."""

from __future__ import annotations

from .envelope import Envelope, describe_error, has_content, is_finished, is_json, read_content_alone, read_envelope
from .sample import HEAD_BYTES, TAIL_BYTES, DocumentSample
from .token_usage import ReportedUsage, UsageFields

CUT_SHORT = "the stream ended before the answer was complete"
BROKEN_JSON = "the answer is no complete JSON"

MAX_EVENT_BYTES = HEAD_BYTES + 2 * TAIL_BYTES
"""Longest event in several lines that is read, in bytes; of an event in one line both ends are."""


class ResponseReader:
    """What a provider reports about its answer, from a body of JSON: the base of the readers of streams."""

    def __init__(self) -> None:
        self.model: str | None = None
        """The first model that is named."""
        self.failure: str | None = None
        """The first error that is reported, or that the stream was cut short."""
        self.has_content = False
        """Whether the stream has brought content yet; False for a body that is no stream."""
        self._usage = UsageFields()
        self._partial = DocumentSample()

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk."""
        self._partial.add(chunk)

    def finish(self) -> None:
        """Reads what is left when the response has ended; call it once."""
        envelopes = self._partial.envelopes()
        for envelope in envelopes:
            self._note(envelope)
        whole = self._partial.whole()
        if not envelopes and whole is not None and whole.strip() and not is_json(whole):
            self.failure = BROKEN_JSON

    def usage(self) -> ReportedUsage:
        """Returns the tokens that were reported so far."""
        return self._usage.read()

    def _note(self, envelope: Envelope) -> None:
        for part in (envelope, *envelope.inner()):
            self.failure = self.failure or part.failure()
            self.model = self.model or part.named_model()
            for usage in part.usages():
                self._usage.add(usage)


class LineReader(ResponseReader):
    """Reads a stream of one JSON document per line, as Ollama sends it."""

    def __init__(self) -> None:
        super().__init__()
        self._is_known = self._has_ended = False
        self._answers = b""

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk: each line once it is complete."""
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if self._partial:
                self._partial.add(line)
                self._note_partial()
            else:
                self._note_line(line)
        if rest:
            self._partial.add(rest)

    def finish(self) -> None:
        """Reads what is left, and judges whether the stream is complete."""
        self._note_partial()
        if self._is_known and not (self._has_ended or is_finished(self._answers)):
            self.failure = self.failure or CUT_SHORT

    def _note_partial(self) -> None:
        partial, self._partial = self._partial, DocumentSample()
        if (line := partial.whole()) is not None:
            self._note_line(line)
            return
        self.has_content = True
        for envelope in partial.envelopes():
            self._note(envelope)

    def _note_line(self, line: bytes) -> None:
        if line.strip():
            self._note_document(line)

    def _note_document(self, document: bytes) -> None:
        self.has_content = self.has_content or has_content(document)
        for envelope in read_envelope(document):
            self._note(envelope)

    def _note(self, envelope: Envelope) -> None:
        super()._note(envelope)
        answers = envelope.answers()
        self._note_answers(answers)
        self._is_known = self._is_known or bool(answers) or envelope.is_streamed()
        self._has_ended = self._has_ended or envelope.is_last()

    def _note_answers(self, answers: bytes) -> None:
        # Decoding the choices of every event would cost more than all the rest.
        if b"inish" in answers and b'"finish_reason":null' not in answers and is_finished(answers):
            self._has_ended = True
        self._answers = answers or self._answers


class EventReader(LineReader):
    """Reads a stream of server-sent events."""

    def __init__(self) -> None:
        super().__init__()
        self._has_data = False
        self._is_between_events = True
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk: each event once it is complete."""
        # Most chunks are one event of content alone.
        if self.has_content and self._is_between_events and chunk.endswith(b"\n\n") and chunk.count(b"\n") == 2:
            content = read_content_alone(chunk[len(b"data:") : -2]) if chunk.startswith(b"data:") else None
            if content is not None:
                self._note_answers(content.answers())
                return
        super().add(chunk)
        self._is_between_events = not (self._partial or self._data or self._name)

    def finish(self) -> None:
        """Reads what is left, and judges whether the stream is complete."""
        self._note_partial()
        self._note_line(b"")
        super().finish()
        if not self._has_data:
            self.failure = self.failure or CUT_SHORT

    def _note_line(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._has_data = True
            self._size += len(line)
            if self._size <= MAX_EVENT_BYTES:
                self._data.append(line[5:])
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif not line and (self._data or self._name):
            self._note_event(self._name, b"\n".join(self._data))
            self._name, self._data, self._size = b"", [], 0

    def _note_event(self, name: bytes, data: bytes) -> None:
        if data.strip() == b"[DONE]":
            self._has_ended = True
            return
        self._note_document(data)
        if name == b"error" and self.failure is None:
            self.failure = describe_error(data.decode("utf-8", "replace").strip())
