"""What is promised about exports: every request once, in a file that other programs read, in flat memory."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import sqlite3
import sys
import tracemalloc
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainlog_async import RequestFilter, UsageAggregator
from chainlog_async.common.extras import install_command
from chainlog_async.entry.json_input import entry_from_json
from chainlog_async.entry.line import encode_line
from chainlog_async.errors import MissingExtraError
from chainlog_async.requests import parquet
from chainlog_async.requests.export import Format, export_requests, iterate_requests
from chainlog_async.requests.model import COLUMNS
from chainlog_async.requests.parquet import ROW_GROUP

FILL = """
WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO request_logs (
  timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, http_status,
  attempts, error_message, caller, cost_usd, streamed, metadata
)
SELECT 1772400000000 + i, 'chain', 'p' || (i % 3), 'm', i, 1, i + 1, 5, iif(i % 7, 200, 429), 1,
  iif(i % 7, NULL, 'slow'), NULL, 0.5, i % 2, '{"n": ' || i || '}'
FROM n
"""
STORE = """
INSERT INTO request_logs (
  timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, http_status,
  attempts, error_message
) VALUES (1, ?1, ?1, ?1, 1, 2, 3, 4, 500, 1, ?1)
"""
HOSTILE = ("=1+1", "+1", "-1", "@x", "\tx", "\rx", 'a"b', "a,b", "a\r\nb", "plain", "", "日本 🙂", "'")


def fill(path: Path, rows: int) -> None:
    """Stores so many rows, one after another in time."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(FILL, (rows,))


async def export(path: Path, file_format: Format, where: RequestFilter | None = None) -> bytes:
    """The whole file."""
    async with UsageAggregator(path) as usage:
        return b"".join([piece async for piece in export_requests(usage, where or RequestFilter(), file_format)])


async def test_every_format_has_every_request_once(database: Path) -> None:
    """All three files hold the same requests, newest first, over many pages, and only those that the filter means."""
    fill(database, 2 * ROW_GROUP + 1)
    where = RequestFilter(status="429", start=1772400000000 + 8)
    ids = [number for number in range(2 * ROW_GROUP + 1, 7, -1) if number % 7 == 0]
    async with UsageAggregator(database) as usage:
        assert [request.id async for request in iterate_requests(usage, where)] == ids
    rows = list(csv.DictReader(io.StringIO((await export(database, "csv", where)).decode(), newline="")))
    assert [int(row["id"]) for row in rows] == ids
    lines = [msgspec.json.decode(line) for line in (await export(database, "jsonl", where)).splitlines()]
    assert [line["id"] for line in lines] == ids
    table = pq.read_table(io.BytesIO(await export(database, "parquet", where)))
    assert table.column("id").to_pylist() == ids
    whole = pq.ParquetFile(io.BytesIO(await export(database, "parquet")))
    assert (whole.metadata.num_rows, whole.metadata.num_row_groups) == (2 * ROW_GROUP + 1, 3)


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
async def test_an_export_of_nothing_is_a_file(database: Path, file_format: Format) -> None:
    """Without a request that matches there is a file that says so: a header, no line, a table without rows."""
    made = await export(database, file_format)
    if file_format == "parquet":
        assert pq.read_table(io.BytesIO(made)).num_rows == 0
    else:
        assert made.decode() == {"csv": ",".join(COLUMNS) + "\r\n", "jsonl": ""}[file_format]


def store(path: Path, texts: tuple[str, ...]) -> None:
    """Stores a request for each text, which is in all its names."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for text in texts:
            connection.execute(STORE, (text,))


async def test_a_spreadsheet_runs_no_cell(database: Path) -> None:
    """In CSV a text that begins as a formula does has an apostrophe before it; everything else is as it was."""
    store(database, HOSTILE)
    rows = csv.DictReader(io.StringIO((await export(database, "csv")).decode(), newline=""))
    shown = [row["error_message"] for row in rows][::-1]
    assert [text.startswith(("=", "+", "-", "@", "\t", "\r")) for text in shown] == [False] * len(HOSTILE)
    assert shown == [*(f"'{text}" for text in HOSTILE[:6]), *HOSTILE[6:]]


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
async def test_other_files_have_every_text_as_it_was(database: Path, file_format: Format) -> None:
    """Only CSV has a guard, for only CSV cannot tell a text from a formula."""
    store(database, HOSTILE)
    made = await export(database, file_format)
    if file_format == "jsonl":
        texts = [msgspec.json.decode(line)["errorMessage"] for line in made.splitlines()]
    else:
        texts = pq.read_table(io.BytesIO(made)).column("error_message").to_pylist()
    assert texts == list(reversed(HOSTILE))


async def test_a_parquet_file_has_types(database: Path) -> None:
    """Times are UTC timestamps in ms, counts whole numbers, the cost a double; metadata and trail are JSON."""
    fill(database, 3)
    table = pq.read_table(io.BytesIO(await export(database, "parquet")))
    assert table.schema.names == list(COLUMNS)
    assert table.schema.field("timestamp").type == pa.timestamp("ms", tz="UTC")
    row = table.to_pylist()[0]
    assert row["timestamp"] == datetime.fromtimestamp(1772400000.003, UTC)
    assert (row["prompt_tokens"], row["cost_usd"], row["streamed"], row["caller"]) == (3, 0.5, True, None)
    assert (row["metadata"], row["attempt_trail"]) == ('{"n":3}', None)


async def test_json_lines_can_be_imported_again(database: Path) -> None:
    """But for its id, each line is an entry that the log takes."""
    fill(database, 3)
    for line in (await export(database, "jsonl")).splitlines():
        request = msgspec.json.decode(line)
        del request["id"]
        assert encode_line(entry_from_json(msgspec.json.encode(request)))


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
async def test_memory_does_not_grow_with_the_log(
    database: Path, file_format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export of eight times as many requests needs hardly more memory."""
    monkeypatch.setattr(parquet, "ROW_GROUP", 500)

    async def peak() -> int:
        tracemalloc.start()
        async with UsageAggregator(database) as usage:
            async for _piece in export_requests(usage, RequestFilter(), file_format):
                pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    fill(database, 1_000)
    await peak()
    before = await peak()
    fill(database, 7_000)
    assert await peak() < before * 2


async def test_parquet_without_pyarrow_says_what_to_install(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, the error names it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "chainlog_async.requests.parquet", raising=False)
    message = f"Parquet needs pyarrow; {await asyncio.to_thread(install_command, 'parquet')}"
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        await export(database, "parquet")
