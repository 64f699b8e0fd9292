"""``chainlog export``."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import click
import msgspec

from chainlog_async.cli.confirmation import may_replace
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.filters import filter_options
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.value_types import Choice
from chainlog_async.cli.output.render import count_text, duration, plain, print_json
from chainlog_async.cli.similar_names import similar_names
from chainlog_async.common.atomic_file import AtomicFile
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.progress import Progress
from chainlog_async.common.units import size_text
from chainlog_async.requests.export import MEDIA_TYPES, Format, export_requests
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestPage
from chainlog_async.settings import Settings

from .usage import open_usage

STDOUT = "-"
_FORMAT_OF_SUFFIX: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

Write = Callable[[bytes], Awaitable[object]]


class ExportReport(msgspec.Struct, frozen=True, rename="camel"):
    """The ``--json`` of ``chainlog export``."""

    database: str
    file: str
    format: Format
    requests: int
    bytes: int
    seconds: float


@click.command(
    short_help="Export requests as CSV, JSON lines or Parquet.",
    epilog=examples(
        "chainlog export requests.csv",
        "chainlog export --since 30d --status errors errors.jsonl",
        "chainlog export --since 2026-11-01 --until 2026-12-01 november.parquet",
        "chainlog export --format jsonl - | jq -c 'select(.latencyMs > 10000)'",
    ),
)
@click.argument("target", metavar="FILE|-", type=str)
@click.option(
    "--format",
    "given_format",
    type=Choice(list(MEDIA_TYPES)),
    help="File format.  [default: by the suffix of FILE; csv for -]",
)
@click.option("--force", "--yes", is_flag=True, help="Replace FILE if it exists, without asking.")
@filter_options
@json_option("one object with file, format, requests, bytes and seconds; not with -")
@settings_options
def export(
    options: SettingsOptions, where: RequestFilter, target: str, given_format: Format | None, force: bool, as_json: bool
) -> None:
    """Write all matching requests to FILE, or to stdout (-), newest first.

    CSV and Parquet use the column names of the database, with times in UTC; JSON lines use the JSON of the service. In
    CSV, text that a spreadsheet would run as a formula is prefixed with an apostrophe. Parquet needs the extra parquet.
    chainlog import reads all three again.

    The gateway can keep writing. FILE appears once it is complete, and only its owner can read it. If it exists
    already, the command says on stderr what will be replaced, and asks; without a terminal it needs --force.

    Exit codes: 0 done, 1 there is no file (the reason is on stderr).
    """
    file_format = given_format or (_FORMAT_OF_SUFFIX.get(Path(target).suffix.lower()) if target != STDOUT else "csv")
    if file_format is None:
        raise click.UsageError(f"The suffix of {target!r} names no known format: give --format.")
    if as_json and target == STDOUT:
        raise click.UsageError("--json needs a FILE; with - the requests themselves go to stdout.")
    settings = options.load()
    force = target != STDOUT and may_replace(Path(target), force=force)
    if_stopped = "the output is incomplete" if target == STDOUT else "no file was written, and no partial file is left"
    report, hint = run_long_work(
        lambda progress: _export(settings, where, file_format, target, force=force, progress=progress),
        if_stopped=if_stopped,
    )
    if as_json:
        print_json(report)
    else:
        requests = count_text(report.requests, "request", "requests")
        size = f"{size_text(report.bytes)}, {duration(report.seconds * 1000)}"
        click.echo(
            f"exported {requests} to {'stdout' if target == STDOUT else plain(target)} ({size}){hint}",
            err=target == STDOUT,
        )


async def _export(
    settings: Settings, where: RequestFilter, file_format: Format, target: str, *, force: bool, progress: Progress
) -> tuple[ExportReport, str]:
    """Returns what was exported, and if that is nothing the name that was probably meant."""
    begun = time.monotonic()
    written = 0
    async with open_usage(settings) as usage:
        pages = _Pages(progress, where.start if where.start is not None else await usage.get_oldest_timestamp())
        pieces = export_requests(usage, where, file_format, on_page=pages.count)
        # The file is not created before there is something to write to it.
        first = await anext(pieces, b"")
        async with _opened(settings.db_path, target, force=force) as write, aclosing(pieces):
            async for piece in _joined(first, pieces):
                await write(piece)
                written += len(piece)
        hint = "" if pages.requests else await similar_names(usage, where)
    took = round(time.monotonic() - begun, 3)
    return ExportReport(settings.database, target, file_format, pages.requests, written, took), hint


async def _joined(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


class _Pages:
    """Counts requests, and reports progress by their time: their number is unknown before the end."""

    def __init__(self, progress: Progress, oldest: int | None) -> None:
        self._progress = progress
        self._oldest = oldest
        self._newest: int | None = None
        self.requests = 0

    def count(self, page: RequestPage) -> None:
        """Adds the requests of a page."""
        self.requests += len(page.requests)
        at = page.searched_back_to if not page.requests else page.requests[-1].timestamp
        if at is None:
            return
        if self._newest is None:
            self._newest = page.requests[0].timestamp if page.requests else at
        total = None if self._oldest is None else max(self._newest - self._oldest, 1)
        self._progress(count_text(self.requests, "request", "requests"), self._newest - at, total)


@asynccontextmanager
async def _opened(database: Path, target: str, *, force: bool) -> AsyncIterator[Write]:
    """Yields a function that writes to the target; a file gets its name at the end, unless something failed."""
    if target == STDOUT:
        yield _write_to_stdout
        return
    partial = await run_in_thread(AtomicFile, database, Path(target), overwrite=force)
    try:
        await run_in_thread(partial.begin)
        async with await anyio.open_file(partial.path, "r+b") as file:
            yield file.write
        await run_in_thread(partial.publish)
    finally:
        await run_in_thread(partial.discard)


async def _write_to_stdout(piece: bytes) -> None:
    """Writes to stdout; a pipe that is not read blocks neither the event loop nor Ctrl-C."""
    stdout, rest = sys.stdout.fileno(), memoryview(piece)
    while rest:
        try:
            await anyio.wait_writable(stdout)
        except PermissionError:
            # A regular file is always ready, so it cannot be waited for.
            rest = rest[await run_in_thread(os.write, stdout, rest) :]
        else:
            # A pipe that is writable takes this much without blocking.
            rest = rest[os.write(stdout, rest[: select.PIPE_BUF]) :]
