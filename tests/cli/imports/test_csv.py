"""CSV is read by Python's own parser, whole: what a reference reading finds is what is stored."""

from __future__ import annotations

import csv
import io
import shlex
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async.cli.imports import csv_records
from chainlog_async.cli.imports.csv_records import CsvRecords
from chainlog_async.cli.imports.lines import MAX_LINE_BYTES
from chainlog_async.cli.imports.records import Found
from tests.support.cli import Cli

ODD = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\x1f\xa0 \t"
NAMES = "chain_name,provider_id,model,latency_ms,http_status,error_message"


def _found(data: bytes, *, size: int = 1 << 20) -> list[Found]:
    records = CsvRecords()
    pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
    return [item for piece in pieces for item in records.feed(piece)] + records.finish()


def _values(found: list[Found]) -> list[list[object]]:
    assert [item.problem for item in found if item.record is None] == []
    return [list((item.record or {}).values()) for item in found]


@given(
    rows=st.lists(st.lists(st.text(f"ab\",\r\n{ODD}='é🙂", max_size=6), min_size=3, max_size=3), max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    size=st.integers(1, 40),
)
def test_any_file_is_read_as_the_parser_reads_it_whole(
    rows: list[list[str]], end: str, quoting: int, size: int
) -> None:
    """However a file ends its lines, quotes its texts and is cut into chunks, each value is the one it was."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]  # one of the constants
    writer.writerows([["x", "y", "z"], *rows])
    found = [item for item in _found(text.getvalue().encode(), size=size) if item.record is not None]
    # The writer leaves a CR unquoted that is not its line end, and to every reader that is one.
    reference = list(csv.reader(io.StringIO(text.getvalue(), newline=""), strict=True))[1:]
    assert _values(found) == [[value or None for value in row] for row in reference if len(row) == 3]
    assert end != "\r\n" or reference == rows


@pytest.mark.parametrize("odd", ODD)
def test_no_other_character_ends_a_line(cli: Cli, odd: str) -> None:
    """A text with what Unicode counts as a line break, quoted or not, is one text in one row."""
    content = f'{NAMES}\nc,p,a{odd}b,1,500,e{odd}\nc,p,m,1,500,"{odd},\n\n x \r\n"\n'
    (cli.folder / "given.csv").write_text(content, newline="")
    done = cli.here("import", "given.csv")
    assert (done.code, done.stderr) == (0, "")
    assert _texts(cli) == [(f"a{odd}b", f"e{odd}"), ("m", f"{odd},\n\n x \r\n")]


def _texts(cli: Cli) -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(cli.db)) as connection:
        return connection.execute("SELECT model, error_message FROM request_logs ORDER BY id").fetchall()


def test_a_quote_within_a_text_is_only_a_character(cli: Cli) -> None:
    """An unquoted text with one quotation mark does not swallow the rows below it."""
    (cli.folder / "given.csv").write_text(f'{NAMES}\nc,p,5" disk,1,200,\nc,p,m,1,200,\n')
    assert cli.here("import", "given.csv").code == 0
    assert [model for model, _ in _texts(cli)] == ['5" disk', "m"]


def test_a_bad_record_has_the_number_of_the_line_it_begins_on(cli: Cli) -> None:
    """Blank lines, and line ends within quotes before a bad record and in it, are counted."""
    good = 'c,p,"two\nlines\n\n",1,200,\n'
    bad = 'c,p,m,x,200,"of\nthree\nlines"\nc,p,m,1\nc,p,"m"x,1,200,\n'
    content = f"\n{NAMES}\n\n{good}{bad}c,p,m,1,200,\n"
    (cli.folder / "given.csv").write_text(content)
    done = cli.here("import", "given.csv")
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
        "given.csv:8",
        "given.csv:11",
        "given.csv:12",
        "skipped 3 bad lines",
    ]
    assert [model for model, _ in _texts(cli)] == ["two\nlines\n\n", "m"]


def test_bytes_that_are_not_utf_8_cost_their_record_only() -> None:
    """A text in another encoding is told; where its record ends is still seen."""
    found = _found(b'x,y\n\xe9,"a\nb"\n1,2\n')
    assert [(item.line, item.last, item.problem) for item in found] == [
        (2, 3, "not CSV: a text is not UTF-8"),
        (4, 4, ""),
    ]


@pytest.mark.parametrize("size", [1 << 16, 1 << 18])
def test_a_record_may_be_long_but_not_endless(size: int) -> None:
    """A text of a megabyte is read; a quote that is never closed costs the records up to a bound, not memory."""
    long = b"y" * (1 << 20)
    assert [len(str(value)) for row in _values(_found(b"x,y\n1," + long + b"\n", size=size)) for value in row] == [
        1,
        1 << 20,
    ]
    line = b"1," + b"z" * 1000 + b"\n"
    found = _found(b'x,y\n1,"' + line * (MAX_LINE_BYTES // 500) + b"3,4\n", size=size)
    assert "is a quote missing?" in found[0].problem
    assert found[0].line == 2
    if size == 1 << 16:
        assert found[-1].record == {"x": "3", "y": "4"}


def test_a_line_that_is_too_long_is_told_and_the_next_is_read() -> None:
    """An endless line costs one record."""
    found = _found(b"x,y\n" + b"1" * (2 * MAX_LINE_BYTES) + b",2\n3,4\n", size=1 << 18)
    assert [(item.line, item.record) for item in found] == [(2, None), (3, {"x": "3", "y": "4"})]


def test_an_export_without_rows_is_no_error(cli: Cli) -> None:
    """A file of only a header imports nothing, and ends with 0."""
    cli.store()
    assert cli.here("export", "empty.csv").code == 0
    assert cli.here("import", "empty.csv").code == 0


def test_the_limit_of_the_parser_is_ours() -> None:
    """Python's parser stops at 128 KiB for one text unless it is told otherwise."""
    csv_records.CsvRecords()
    assert csv.field_size_limit() >= MAX_LINE_BYTES


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(cli: Cli, delimiter: str) -> None:
    """Excel writes semicolons where the decimal point is a comma, and a byte order mark."""
    content = "chain_name,provider_id,model,latency_ms,http_status\nc,p,m,1.5,200\n".replace(",", delimiter)
    (cli.folder / "given.csv").write_text(content, encoding="utf-8-sig")
    done = cli.here("import", "given.csv")
    assert (done.code, done.stderr) == (0, "")
    assert _texts(cli) == [("m", None)]


def test_a_map_finds_the_delimiter_too(cli: Cli) -> None:
    """The delimiter that splits the header into the most names."""
    (cli.folder / "given.csv").write_text("a,b;vendor;llm;ms\nx;groq;m;7\n")
    options = ["--map", "vendor=provider_id", "--map", "llm=model", "--map", "ms=latency_ms", "--set", "chain_name=c"]
    done = cli.here("import", *options, "--set", "http_status=200", "given.csv")
    assert (done.code, done.stderr) == (0, "")
    assert _texts(cli) == [("m", None)]


def test_a_decimal_comma_is_told(cli: Cli) -> None:
    """It could be a thousands separator, so it is not guessed."""
    header = "chain_name,provider_id,model,latency_ms,http_status".replace(",", ";")
    (cli.folder / "given.csv").write_text(f"{header}\nc;p;m;412,5;200\n")
    done = cli.here("import", "given.csv")
    assert "latency_ms is '412,5'; give a number, with a point for the decimals" in done.stderr


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_of_another_shape_is_called_csv_and_gets_a_map(cli: Cli, delimiter: str) -> None:
    """The options that its names suggest, which import it once what is missing is filled in."""
    content = "when,vendor,model,duration_s,status_code\n2026-11-01T10:00:00Z,groq,m,1.5,429\n"
    (cli.folder / "given.csv").write_text(content.replace(",", delimiter))
    done = cli.here("import", "given.csv")
    assert done.code == 1
    assert "not JSON" not in done.stderr
    assert "given.csv: the file is CSV, and its columns are not those of an entry\n" in done.stderr
    assert "the file's names are when, vendor, model, duration_s, status_code\n" in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "perhaps " in line]
    options = shlex.split(line.partition("perhaps ")[2].partition(" fits, ")[0].replace("...", "old"))
    assert cli.here("import", *options, "given.csv").code == 0
    with closing(sqlite3.connect(cli.db)) as connection:
        query = "SELECT timestamp, chain_name, provider_id, model, latency_ms, http_status FROM request_logs"
        assert connection.execute(query).fetchall() == [(1_793_527_200_000, "old", "groq", "m", 1500, 429)]


def test_json_lines_below_a_line_with_commas_are_read(cli: Cli) -> None:
    """A first line that is broken does not make CSV of them."""
    good = '{"chain_name": "c", "provider_id": "p", "model": "m", "latency_ms": 1, "http_status": 200}\n'
    (cli.folder / "given").write_text("oops, broken\n" + good * 3)
    done = cli.here("import", "given")
    assert (done.code, len(_texts(cli))) == (1, 3)
    assert "given:1: not JSON" in done.stderr


@pytest.mark.parametrize("time", ["1.7E+12", "1,76E+12", "2E+12"])
def test_a_time_that_a_spreadsheet_rounded_is_told(cli: Cli, time: str) -> None:
    """It would be off by up to years."""
    (cli.folder / "given.csv").write_text(f"timestamp;{NAMES.replace(',', ';')}\n{time};c;p;m;1;200;\n")
    done = cli.here("import", "given.csv")
    assert f"timestamp is '{time}', which a spreadsheet has rounded" in done.stderr


@pytest.mark.parametrize("begin", ["sep=;\r\n", "SEP=;\n", "\ufeffsep=;\r\n"])
def test_the_line_that_tells_excel_the_delimiter_is_no_header(cli: Cli, begin: str) -> None:
    """It stands before the header, and is skipped."""
    (cli.folder / "given.csv").write_text(f"{begin}{NAMES.replace(',', ';')}\nc;p;m;1;200;\n", newline="")
    done = cli.here("import", "given.csv")
    assert (done.code, done.stderr) == (0, "")
    assert _texts(cli) == [("m", None)]


def test_spaces_around_a_name_in_the_header_are_none_of_it(cli: Cli) -> None:
    """People write a space after a comma."""
    (cli.folder / "given.csv").write_text(f"{NAMES.replace(',', ' , ')}\nc,p,m,1,200,\n")
    assert cli.here("import", "given.csv").code == 0
    assert _texts(cli) == [("m", None)]


def test_two_columns_of_one_name_are_told(cli: Cli) -> None:
    """One of them would be lost without a word."""
    (cli.folder / "given.csv").write_text(f"{NAMES},model\nc,p,m,1,200,,other\n")
    done = cli.here("import", "given.csv")
    assert (done.code, cli.rows()) == (1, 0)
    assert "two columns of the CSV are called 'model'; rename one of them" in done.stderr


@pytest.mark.parametrize("nothing", ["NA", "N/A", "nan", "NaN", "NULL", "None", "<NA>", "\\N", ""])
def test_what_programs_write_for_no_number_is_none(cli: Cli, nothing: str) -> None:
    """R, pandas, MySQL and others each have a word."""
    (cli.folder / "given.csv").write_text(f"{NAMES},cost_usd,streamed\nc,p,m,1,200,,{nothing},{nothing}\n")
    done = cli.here("import", "given.csv")
    assert (done.code, done.stderr) == (0, "")


def test_columns_that_pandas_numbered_twice_are_left_out(cli: Cli) -> None:
    """Read and written again, the column without a name has one."""
    (cli.folder / "given.csv").write_text(f",Unnamed: 0,{NAMES}\n0,0,c,p,m,1,200,\n")
    done = cli.here("import", "given.csv")
    assert (done.code, done.stderr) == (0, "")


@pytest.mark.parametrize("options", [(), ("--set", "caller=x")])
def test_a_time_in_seconds_is_told(cli: Cli, options: tuple[str, ...]) -> None:
    """It would be a row of January 1970."""
    (cli.folder / "given.csv").write_text(f"timestamp,{NAMES}\n1764000000,c,p,m,1,200,\n")
    done = cli.here("import", *options, "given.csv")
    assert (done.code, cli.rows()) == (1, 0)
    assert "timestamp is 1764000000, which as ms since the epoch is in January 1970" in done.stderr
