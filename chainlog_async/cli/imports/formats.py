"""The file formats of ``chainlog import``: records in, entries out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import click

from chainlog_async.admin.restore import ExportedRow
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.integrations.litellm_spend_logs import is_logged, spend_log_entry
from chainlog_async.settings import Settings

from .field_map import FieldMap, MappedColumn, parse_constant
from .own_records import are_own_names, read_own_record
from .records import Record
from .timestamps import seconds_of

_R = TypeVar("_R")
_T = TypeVar("_T")

SPEND_LOGS = "litellm-spend-logs"


Item: TypeAlias = RequestLogEntry | ExportedRow
"""What a record of a file becomes."""


@dataclass(frozen=True, slots=True)
class Format:
    """How the records of a file are understood."""

    translate: Callable[[Record], Item]
    """Raises `InvalidEntryError` for a record that does not fit."""
    is_header: Callable[[Sequence[str]], bool]
    """Whether the values of a first line are the header of a CSV file, rather than broken JSON."""
    advice: str
    """What to do when no record of a file fits; ``{names}`` are its names, ``{options}`` a guess and "else", or ""."""
    accepts: Callable[[Settings, Item], bool] = lambda _settings, _item: True
    """Whether an item is imported; others are counted."""


OWN_FORMAT = Format(
    read_own_record,
    are_own_names,
    "if it has another shape, {options}name the fields, as in --map NAME=provider_id; the file's names are {names}",
)
_SPEND_LOGS = Format(
    lambda record: spend_log_entry(record, seconds_of),
    lambda _: True,
    "--format litellm-spend-logs is for exports of the table LiteLLM_SpendLogs; for another shape use --map; "
    "the file's names are {names}",
    lambda settings, item: isinstance(item, ExportedRow) or is_logged(settings, item),
)


def format_options(command: Callable[..., _R]) -> Callable[..., _R]:
    """Adds ``--format``, ``--map`` and ``--set``; the command receives a `Format` as ``form``."""

    @click.option(
        "--format",
        "named",
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
    def with_format(
        *args: object,
        named: str | None,
        columns: list[MappedColumn],
        constants: list[tuple[str, str]],
        **kwargs: object,
    ) -> _R:
        field_map = FieldMap(columns, dict(constants)) if columns or constants else None
        if named and field_map:
            raise click.UsageError("--format has its own mapping of columns; leave out --map and --set.")
        return command(*args, form=_format_for(named, field_map), **kwargs)

    return with_format


def _format_for(named: str | None, field_map: FieldMap | None) -> Format:
    if named is not None:
        return _SPEND_LOGS
    if field_map is not None:
        return Format(field_map.entry, lambda _: True, "check --map and --set; the file's names are {names}")
    return OWN_FORMAT


def _parsed(texts: Sequence[str], parse: Callable[[str], _T]) -> list[_T]:
    try:
        return [parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
