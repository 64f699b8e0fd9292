"""Requests as a file: CSV, JSON lines or Parquet, made page by page, so that memory does not grow with their number."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from chainlog_async.common.cancellation import in_thread
from chainlog_async.storage.sqlite.queries.requests import MAX_PAGE, LoggedAttempt, LoggedRequest, RequestPage
from chainlog_async.storage.sqlite.queries.requests_sql import COLUMNS

from .filter import RequestFilter

if TYPE_CHECKING:
    from chainlog_async.usage_aggregator import UsageAggregator

Format = Literal["csv", "jsonl", "parquet"]

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_json = msgspec.json.Encoder()


class Encoder(Protocol):
    """Makes the bytes of a file, in the order in which they belong there."""

    def encode(self, requests: Sequence[LoggedRequest]) -> bytes:
        """What can be written once these requests are there too; may be empty."""

    def end(self) -> bytes:
        """The rest of the file."""


async def iterate_pages(usage: UsageAggregator, where: RequestFilter) -> AsyncGenerator[RequestPage]:
    """All requests that the filter means, newest first, a page at a time.

    Each page is read by itself: the log may be written and pruned meanwhile, and nothing waits for a slow consumer.
    Raises `DatabaseError` when the database cannot be read.
    """
    cursor: str | None = None
    while True:
        page = await usage.find_requests(where, limit=MAX_PAGE, cursor=cursor)
        yield page
        if (cursor := page.next_cursor) is None:
            return


async def iterate_requests(usage: UsageAggregator, where: RequestFilter) -> AsyncGenerator[LoggedRequest]:
    """The same, one by one."""
    async with aclosing(iterate_pages(usage, where)) as pages:
        async for page in pages:
            for request in page.requests:
                yield request


async def export_requests(
    usage: UsageAggregator,
    where: RequestFilter,
    file_format: Format,
    *,
    on_page: Callable[[RequestPage], None] | None = None,
) -> AsyncGenerator[bytes]:
    """The file with all requests that the filter means, newest first, in pieces; `on_page` is told what is in it.

    Raises `MissingExtraError` when ``parquet`` is asked for without pyarrow, and `DatabaseError` when the database
    cannot be read; what was made up to then is no whole file.
    """
    encoder = await in_thread(encoder_for, file_format)
    async with aclosing(iterate_pages(usage, where)) as pages:
        async for page in pages:
            if piece := await in_thread(encoder.encode, page.requests):
                yield piece
            if on_page is not None:
                on_page(page)
    if piece := await in_thread(encoder.end):
        yield piece


def encoder_for(file_format: Format) -> Encoder:
    """A new file's encoder. Raises `MissingExtraError` when ``parquet`` is asked for without pyarrow."""
    match file_format:
        case "csv":
            return CsvEncoder()
        case "jsonl":
            return JsonLinesEncoder()
        case "parquet":
            # pyarrow takes a tenth of a second to import, and is an extra.
            from .parquet import ParquetEncoder

            return ParquetEncoder()


class CsvEncoder:
    """A header, and a row for each request, under the names that the columns have in the database."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._writer = csv.writer(self._text)
        self._writer.writerow(COLUMNS)

    def encode(self, requests: Sequence[LoggedRequest]) -> bytes:
        """These rows; the header before the first ones."""
        self._writer.writerows([_cell(value) for value in flat(request)] for request in requests)
        return self._taken()

    def end(self) -> bytes:
        """Nothing, or the header where there was no row."""
        return self._taken()

    def _taken(self) -> bytes:
        taken = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return taken


class JsonLinesEncoder:
    """An object on each line, as the service answers with it."""

    def encode(self, requests: Sequence[LoggedRequest]) -> bytes:
        """These lines."""
        return _json.encode_lines(requests)

    def end(self) -> bytes:
        """Nothing."""
        return b""


def flat(request: LoggedRequest) -> list[object]:
    """The values of a request in the order of `COLUMNS`, with metadata and trail as JSON."""
    *plain, metadata, trail = msgspec.structs.astuple(request)
    return [*plain, _json_text(metadata), _json_text(trail)]


def _json_text(value: dict[str, object] | list[LoggedAttempt] | None) -> str | None:
    return None if value is None else _json.encode(value).decode()


def _cell(value: object) -> object:
    # A spreadsheet runs such a text as a formula; with an apostrophe before it, it is text.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
