"""The file formats of ``chainlog import``: lines in, entries out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import click

from chainlog_async.entry.json_input import entry_from_json
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.integrations.litellm_spend_logs import spend_log_entry

from .field_map import FieldMap, MappedColumn, parse_constant
from .records import Record, Records
from .timestamps import seconds_of

_R = TypeVar("_R")
_T = TypeVar("_T")

SPEND_LOGS = "litellm-spend-logs"


class Decoder(Protocol):
    """Decodes one file, line by line."""

    def read(self, line: bytes) -> RequestLogEntry | None:
        """Returns the entry that ends with this line, or None if none does. Raises `InvalidEntryError`."""

    def finish(self) -> None:
        """Raises `InvalidEntryError` when the file ended in the middle of an entry."""


class EntryDecoder:
    """Decodes one JSON object per line, with the field names of an entry."""

    def read(self, line: bytes) -> RequestLogEntry | None:
        """See `Decoder`."""
        return entry_from_json(line)

    def finish(self) -> None:
        """See `Decoder`."""


class RecordDecoder:
    """Decodes records of another shape; `translate` turns each into an entry."""

    def __init__(self, translate: Callable[[Record], RequestLogEntry]) -> None:
        self._translate = translate
        self._records = Records()

    def read(self, line: bytes) -> RequestLogEntry | None:
        """See `Decoder`."""
        record = self._records.read(line)
        return None if record is None else self._translate(record)

    def finish(self) -> None:
        """See `Decoder`."""
        self._records.finish()


def decoder_options(command: Callable[..., _R]) -> Callable[..., _R]:
    """Adds ``--format``, ``--map`` and ``--set``; the command receives a decoder factory as ``make_decoder``."""

    @click.option(
        "--format",
        "form",
        type=click.Choice([SPEND_LOGS]),
        help="Rows of LiteLLM's table LiteLLM_SpendLogs, as CSV or JSON lines.",
    )
    @click.option(
        "--map",
        "columns",
        multiple=True,
        metavar="SOURCE=FIELD[*FACTOR]",
        callback=lambda _, __, texts: _parsed(texts, MappedColumn.parse),
        help="Take FIELD of the entry from SOURCE, in records of another shape. Repeatable.",
    )
    @click.option(
        "--set",
        "constants",
        multiple=True,
        metavar="FIELD=VALUE",
        callback=lambda _, __, texts: _parsed(texts, parse_constant),
        help="Value of FIELD in records that have none. Repeatable.",
    )
    @functools.wraps(command)
    def with_decoder(
        *args: object, form: str | None, columns: list[MappedColumn], constants: list[tuple[str, str]], **kwargs: object
    ) -> _R:
        field_map = FieldMap(columns, dict(constants)) if columns or constants else None
        if form and field_map:
            raise click.UsageError("--format has its own mapping of columns; leave out --map and --set.")
        return command(*args, make_decoder=_decoder_for(form, field_map), **kwargs)

    return with_decoder


def _decoder_for(form: str | None, field_map: FieldMap | None) -> Callable[[], Decoder]:
    if form is not None:
        return lambda: RecordDecoder(_spend_log)
    if field_map is not None:
        return lambda: RecordDecoder(field_map.entry)
    return EntryDecoder


def _parsed(texts: Sequence[str], parse: Callable[[str], _T]) -> list[_T]:
    try:
        return [parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _spend_log(record: Record) -> RequestLogEntry:
    return spend_log_entry(record, seconds_of)
