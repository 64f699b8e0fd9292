"""Whatever a file's lines look like, each is found with its number, in flat memory."""

from __future__ import annotations

import gzip
import json
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from chainlog_async.cli.imports.chunks import CHUNK_BYTES, open_chunks
from chainlog_async.cli.imports.lines import MAX_LINE_BYTES, Line, LineSplitter
from tests.support.cli import Cli, entry, jsonl


def _split(*chunks: bytes) -> list[Line]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.finish()


@pytest.mark.parametrize(
    "chunks",
    [
        [b"one\ntwo\n"],
        [b"one\ntwo"],
        [b"one\r\ntwo\r\n"],
        [b"\xef\xbb\xbfone\ntwo\n"],
        [b"  one \t\ntwo\r\n"],
        [b"o", b"ne", b"\r", b"\n", b"two"],
        [b"\xef", b"\xbb\xbfone\n", b"two"],
    ],
)
def test_lines_are_the_same_however_they_end(chunks: list[bytes]) -> None:
    """LF, CR LF, a missing last line end, a byte order mark, and any cut into chunks give the same lines."""
    assert _split(*chunks) == [Line(1, b"one"), Line(2, b"two")]


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_lines_of_json_may_all_end_in_a_carriage_return(cut: int) -> None:
    """As old programs on a Mac wrote them; where lines end in LF, a CR within one is a space of JSON."""
    data = b'{"a": 1}\r{"b": 2}\r'
    chunks = [data[start : start + cut] for start in range(0, len(data), cut)]
    assert _split(*chunks) == [Line(1, b'{"a": 1}'), Line(2, b'{"b": 2}')]
    assert _split(b'{"a":\r1}\n{"b": 2}') == [Line(1, b'{"a":\r1}'), Line(2, b'{"b": 2}')]


def test_blank_lines_are_counted_and_passed_over() -> None:
    """A blank line is no entry, but the lines after it keep their numbers."""
    assert _split(b"\n\r\n  \none\n\n\ntwo\n\n") == [Line(4, b"one"), Line(7, b"two")]


def test_nothing_has_no_lines() -> None:
    """An empty file and one of only a byte order mark have no lines."""
    assert _split() == _split(b"") == _split(b"\xef\xbb\xbf") == _split(b"\n") == []


@pytest.mark.parametrize("end", [b"\n", b""])
def test_an_endless_line_costs_no_memory(end: bytes) -> None:
    """A line of 256 MiB is told as too long, and takes no more memory than the longest good one."""
    chunk = b"x" * CHUNK_BYTES
    splitter = LineSplitter()
    tracemalloc.start()
    lines = [line for _ in range(1024) for line in splitter.feed(chunk)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    lines += splitter.feed(end) + (splitter.feed(b"good\n") if end else splitter.finish())
    assert lines == [Line(1, None), *([Line(2, b"good")] if end else [])]
    assert peak < 4 * MAX_LINE_BYTES


async def test_a_long_file_is_read_in_blocks(tmp_path: Path) -> None:
    """A file of many chunks comes in blocks, every line once and in order."""
    path = tmp_path / "long"
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(200_000)))
    numbers: list[int] = []
    blocks = 0
    splitter = LineSplitter()
    with open_chunks(str(path)) as reader:
        while chunk := await reader.chunk():
            blocks += 1
            numbers += [int(line.data) for line in splitter.feed(chunk) if line.data is not None]
        assert reader.consumed == path.stat().st_size
    assert numbers == list(range(200_000))
    assert blocks > 5


async def test_a_named_pipe_whose_writer_comes_late(tmp_path: Path) -> None:
    """A named pipe is waited for without holding up the event loop."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"one\ntwo"))
    found: list[Line] = []
    splitter = LineSplitter()
    with open_chunks(str(path)) as reader:
        writer.start()
        while chunk := await reader.chunk():
            found += splitter.feed(chunk)
    found += splitter.finish()
    writer.join()
    assert found == [Line(1, b"one"), Line(2, b"two")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("old.jsonl.gz", gzip.compress(jsonl(entry()).encode()), "zcat old.jsonl.gz | chainlog import -"),
        ("power shell.jsonl", jsonl(entry()).encode("utf-16"), "iconv -f UTF-16 -t UTF-8 'power shell.jsonl'"),
        ("log.db", b"SQLite format 3\0" + b"\0" * 100, "--db log.db"),
    ],
)
def test_a_file_that_is_no_text_is_told_once(cli: Cli, name: str, content: bytes, says: str) -> None:
    """A compressed file, UTF-16 or a database is one message with the remedy, not one for each of its lines."""
    (cli.folder / name).write_bytes(content)
    done = cli.run("import", name)
    assert done.code == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_windows_file_goes_in_whole(cli: Cli) -> None:
    """A byte order mark, CR LF, blank lines and no last line end: every entry is in."""
    lines = [json.dumps(entry(model=f"modèle {number}"), ensure_ascii=False) for number in range(3)]
    (cli.folder / "windows.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode())
    assert cli.run("import", "windows.jsonl").code == 0
    assert cli.rows() == 3


def test_an_empty_stdin_is_no_error(cli: Cli) -> None:
    """Nothing on stdin, from a pipe or from /dev/null, imports nothing and succeeds."""
    assert cli.run("import", "-", stdin="").code == 0
    assert cli.run("import", "/dev/null").code == 0
