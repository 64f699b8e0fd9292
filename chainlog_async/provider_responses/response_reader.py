"""Reads model, usage, first content and failures from a response while it passes; content is never kept."""

from __future__ import annotations

from .content import has_content
from .content_event import is_content_alone
from .endings import finish_reason_of, is_last, is_streamed
from .envelope import Envelope, read_envelopes
from .failures import CUT_SHORT, error_name_of, failure_of
from .long_document import MAX_DOCUMENT_BYTES, Document
from .token_classes import TokenClasses, read_classes, read_cost
from .token_usage import ReportedUsage, UsageFields

MAX_MISSES = 8
"""How many documents in a row may tell more than content until all are read at once."""


class ResponseReader:
    """What a provider reports about its answer; the base of the readers, which reads nothing by itself."""

    def __init__(self) -> None:
        self.model: str | None = None
        """The first model that is named."""
        self.failure: str | None = None
        """The first error that is reported, or that the answer was cut short."""
        self.error_name: str | None = None
        """The code or type of the first error that is named, without its message."""
        self.has_content = False
        """Whether a stream has brought content yet."""
        self.is_stream = False
        """Whether the answer came in several documents; may become True with any chunk."""
        self.response_id: str | None = None
        """The first id of an answer that is named."""
        self.finish_reason: str | None = None
        """Why the answer ended, of its first choice; the last reason that is named, as is the tier."""
        self.service_tier: str | None = None
        self._usage = UsageFields()
        self._is_known = False
        self._has_ended = False

    @property
    def has_ended(self) -> bool:
        """Whether the provider said that its answer is complete."""
        return self._has_ended

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk."""

    def finish(self) -> None:
        """Reads what is left when the response has ended; call it once."""

    def usage(self) -> ReportedUsage:
        """Returns the tokens that were reported so far."""
        return self._usage.read()

    def classes(self) -> TokenClasses:
        """Returns the classes of tokens that were reported so far."""
        return read_classes(self._usage.fields)

    def cost(self) -> float | None:
        """Returns what the provider says it charges, in US dollars."""
        return read_cost(self._usage.fields)

    def _note_document(self, document: bytes) -> list[Envelope]:
        """Reads a document of a stream, or the only one."""
        self.has_content = self.has_content or has_content(document)
        return self._note_envelopes(document)

    def _note_envelopes(self, document: bytes) -> list[Envelope]:
        envelopes = read_envelopes(document)
        for envelope in envelopes:
            self._note(envelope)
        return envelopes

    def _note(self, envelope: Envelope) -> None:
        for part in (envelope, *envelope.inner()):
            answers = part.answers()
            self.failure = self.failure or failure_of(part, answers)
            self.error_name = self.error_name or error_name_of(part)
            self.model = self.model or part.named_model()
            self.response_id = self.response_id or part.named_id()
            self.finish_reason = finish_reason_of(part, answers) or self.finish_reason
            self.service_tier = part.named_tier() or self.service_tier
            for usage in part.usages(answers):
                self._usage.add(usage)
            self._is_known = self._is_known or is_streamed(part, answers)
            self._has_ended = self._has_ended or is_last(part, answers)
        if (enclosed := envelope.enclosed()) is not None:
            self._note_document(enclosed)


class LineReader(ResponseReader):
    """Reads a stream of one JSON document per line, as Ollama sends it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stream = True
        self._misses = 0
        self._partial = Document()

    def add(self, chunk: bytes) -> None:
        """Reads the next chunk: each line once it is complete."""
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if self._partial or len(line) > MAX_DOCUMENT_BYTES:
                self._partial.add(line)
                self._note_partial()
            else:
                self._note_line(line)
        if rest:
            self._partial.add(rest)

    def finish(self) -> None:
        """Reads what is left, and judges whether the stream is complete."""
        self._note_partial()
        if self._is_known and not self._has_ended:
            self.failure = self.failure or CUT_SHORT

    def _note_partial(self) -> None:
        partial, self._partial = self._partial, Document()
        if partial.is_long:
            self._note_long_line(partial)
        else:
            self._note_line(partial.read())

    def _note_line(self, line: bytes) -> None:
        if line.strip() and not self._is_content_alone(line):
            self._note_document(line)

    def _is_content_alone(self, document: bytes) -> bool:
        """Whether a document need not be read; not asked for long when every one tells more, as Gemini's do."""
        # One document of the kind has been read then, which names the model.
        if not (self.has_content and self._is_known) or self._misses >= MAX_MISSES:
            return False
        if is_content_alone(document):
            self._misses = 0
            return True
        self._misses += 1
        return False

    def _note_long_line(self, line: Document) -> None:
        self.has_content = True
        self._note_document(line.read())
