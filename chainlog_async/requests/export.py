"""Exports requests as CSV, JSON lines or Parquet, page by page, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Literal, Protocol

from chainlog_async.common.cancellation import run_in_thread

from .cursor import MAX_PAGE
from .encoders import CsvEncoder, Encoder, JsonLinesEncoder
from .filter import RequestFilter
from .model import RequestLogRow, RequestPage

Format = Literal["csv", "jsonl", "parquet"]

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


class PageSource(Protocol):
    """Where pages of requests come from: a `UsageAggregator`."""

    async def find_requests(self, where: RequestFilter, *, limit: int, cursor: str | None) -> RequestPage:
        """One page, newest first; see `UsageAggregator.find_requests`."""


async def iterate_pages(source: PageSource, where: RequestFilter) -> AsyncGenerator[RequestPage]:
    """Yields all requests that match the filter, newest first, one page at a time.

    Each page is a query of its own, so the log can be written and pruned in the meantime, and a slow consumer blocks
    nothing. Raises `DatabaseError` when the database cannot be read.
    """
    cursor: str | None = None
    while True:
        page = await source.find_requests(where, limit=MAX_PAGE, cursor=cursor)
        yield page
        if (cursor := page.next_cursor) is None:
            return


async def iterate_requests(source: PageSource, where: RequestFilter) -> AsyncGenerator[RequestLogRow]:
    """Yields the requests of `iterate_pages` one at a time."""
    async with aclosing(iterate_pages(source, where)) as pages:
        async for page in pages:
            for request in page.requests:
                yield request


async def export_requests(
    source: PageSource,
    where: RequestFilter,
    file_format: Format,
    *,
    on_page: Callable[[RequestPage], None] | None = None,
) -> AsyncGenerator[bytes]:
    """Yields a file with all requests that match the filter, newest first, in chunks. `on_page` gets each page.

    Raises `MissingExtraError` for ``parquet`` without pyarrow, and `DatabaseError` when the database cannot be read;
    the chunks yielded up to then are not a complete file.
    """
    encoder = await run_in_thread(encoder_for, file_format)
    async with aclosing(iterate_pages(source, where)) as pages:
        async for page in pages:
            if piece := await run_in_thread(encoder.encode, page.requests):
                yield piece
            if on_page is not None:
                on_page(page)
    if piece := await run_in_thread(encoder.end):
        yield piece


def encoder_for(file_format: Format) -> Encoder:
    """Returns an encoder for a new file. Raises `MissingExtraError` for ``parquet`` without pyarrow."""
    match file_format:
        case "csv":
            return CsvEncoder()
        case "jsonl":
            return JsonLinesEncoder()
        case "parquet":
            # pyarrow is an extra and takes a tenth of a second to import.
            from .parquet import ParquetEncoder

            return ParquetEncoder()
