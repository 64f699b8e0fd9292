"""From the lines of a file to entries, in the formats that ``chainlog import`` knows."""

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
    """Reads one file."""

    def read(self, line: bytes) -> RequestLogEntry | None:
        """The entry that ends with this line, if one does. Raises `InvalidEntryError`."""

    def finish(self) -> None:
        """Raises `InvalidEntryError` when the file ended within an entry."""


class EntryDecoder:
    """One JSON object with an entry's own names on each line."""

    def read(self, line: bytes) -> RequestLogEntry | None:
        """See `Decoder`."""
        return entry_from_json(line)

    def finish(self) -> None:
        """See `Decoder`."""


class RecordDecoder:
    """Records of another shape."""

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
    """Adds ``--format``, ``--map`` and ``--set``; the command gets a factory of decoders as `make_decoder`."""

    @click.option(
        "--format",
        "form",
        type=click.Choice([SPEND_LOGS]),
        help="Rows of that table of LiteLLM's, in CSV or JSON lines.",
    )
    @click.option(
        "--map",
        "columns",
        multiple=True,
        metavar="SOURCE=FIELD[*FACTOR]",
        callback=lambda _, __, texts: _parsed(texts, MappedColumn.parse),
        help="Take an entry's FIELD from SOURCE, in records of another shape. May be repeated.",
    )
    @click.option(
        "--set",
        "constants",
        multiple=True,
        metavar="FIELD=VALUE",
        callback=lambda _, __, texts: _parsed(texts, parse_constant),
        help="The FIELD's value where such records have none. May be repeated.",
    )
    @functools.wraps(command)
    def with_decoder(
        *args: object, form: str | None, columns: list[MappedColumn], constants: list[tuple[str, str]], **kwargs: object
    ) -> _R:
        field_map = FieldMap(columns, dict(constants)) if columns or constants else None
        if form and field_map:
            raise click.UsageError("--format knows its columns; --map and --set are for other records.")
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
