"""What ``chainlog export`` wrote can be imported again: the same rows, ids and attempts included, and each once."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainlog_async.admin.restore import MAX_KEPT_ID
from tests.support.cli import Cli, entry, jsonl

FORMATS = ("csv", "jsonl", "parquet")
TEXTS = (
    *(
        "=1+1",
        "'=x",
        "''=x",
        "'",
        "",
        "-1",
        "@x",
        "\tx",
        "\rx",
        " lead",
        "trail ",
        "nan",
        "null",
        "123",
        "1.0",
        "\ufeffx",
    ),
    *(
        "a\u2028b",
        "a\u2029b",
        "a\x85b",
        "a\x0bb",
        "a\x0cb",
        "a\x1eb",
        "a\r\nb\n\n c \n",
        'q"uo"te',
        '"',
        "a,b",
        "日本 🙂",
    ),
)
TABLES = ("request_logs", "usage_by_provider", "usage_by_chain", "usage_summary", "usage_buckets", "attempt_buckets")


def _odd_entries() -> list[dict[str, object]]:
    return [
        entry(
            timestamp=1_700_000_000_000 + number // 3,
            chain_name=text,
            model=text,
            prompt_tokens=number,
            total_tokens=None if number % 2 else 99,
            http_status=429 if number % 2 else 200,
            error_message=text,
            request_id=text if number % 3 else None,
            caller=text if number % 2 else None,
            ttft_ms=3.3,
            cost_usd=0.1 * number / 3,
            streamed=(True, False, None)[number % 3],
            cached_tokens=number,
            metadata={"text": text, "whole": 1.0, "none": None, "small": 1e-7, "b": 1, "a": [{}]},
            attempts=3,
            attempt_trail=[
                {"provider_id": text, "model": "m", "http_status": 429, "latency_ms": 1.5, "error_message": text},
                {"provider_id": "p", "model": text},
            ],
        )
        for number, text in enumerate(TEXTS)
    ]


def _fill(cli: Cli) -> None:
    """Rows with every odd text, in an order other than that of their times, and five that differ by id alone."""
    cli.store(*_odd_entries()[::-1], *[entry()] * 5)


def _everything(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLES}


def _import(cli: Cli, name: str, db: str, *options: str) -> tuple[object, object]:
    """How many rows were stored, and how many were there."""
    report = cli.json("import", name, "--db", db, *options, db=False)
    return report["imported"], report["duplicates"]


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_gives_the_same_log_again(cli: Cli, form: str) -> None:
    """In an empty log every row, its id and the totals are to the letter what they were."""
    _fill(cli)
    assert cli.here("export", f"all.{form}").code == 0
    rows = len(TEXTS) + 5
    assert _import(cli, f"all.{form}", "other.db") == (rows, 0)
    assert _everything(cli.folder / "other.db") == _everything(cli.db)
    assert cli.here("check", "--db", "other.db", db=False).code == 0


@pytest.mark.parametrize("form", FORMATS)
def test_a_double_is_left_out(cli: Cli, form: str) -> None:
    """Imported twice, into the log it came from, or twice in one command, an export adds nothing the second time."""
    _fill(cli)
    assert cli.here("export", f"all.{form}").code == 0
    before = _everything(cli.db)
    rows = len(TEXTS) + 5
    assert _import(cli, f"all.{form}", str(cli.db)) == (0, rows)
    assert _everything(cli.db) == before
    report = cli.json("import", f"all.{form}", f"all.{form}", "--db", "other.db", db=False)
    assert (report["imported"], report["duplicates"]) == (rows, rows)


def test_the_formats_of_one_export_are_the_same_rows(cli: Cli) -> None:
    """CSV, JSON lines and Parquet of one log are duplicates of each other, from a file, a pipe, and with --strict."""
    _fill(cli)
    for form in FORMATS:
        assert cli.here("export", f"all.{form}").code == 0
    assert _import(cli, "all.csv", "other.db", "--strict")[1] == 0
    for form in FORMATS:
        given = (cli.folder / f"all.{form}").read_bytes()
        done = cli.run("import", "--strict", "-", "--db", "other.db", stdin=given, db=False)
        assert (done.code, done.stderr) == (0, "")
        assert f"left out {len(TEXTS) + 5} rows of exports" in done.stdout


def test_equal_rows_are_kept_as_often_as_they_are(cli: Cli) -> None:
    """Five rows that differ by id alone are five rows; a log that has two of them gets the other three."""
    cli.store(*[entry()] * 5)
    assert cli.here("export", "all.jsonl").code == 0
    lines = (cli.folder / "all.jsonl").read_text().splitlines(keepends=True)
    (cli.folder / "two.jsonl").write_text("".join(lines[1:3]))
    assert _import(cli, "two.jsonl", "other.db") == (2, 0)
    assert _import(cli, "all.jsonl", "other.db") == (3, 2)
    (cli.folder / "twice.jsonl").write_text("".join(lines * 2))
    assert _import(cli, "twice.jsonl", "new.db") == (5, 5)


def test_overlapping_exports_are_one_log(cli: Cli) -> None:
    """Two exports with rows in common, in either order, give every row once."""
    cli.store(*[entry(timestamp=1_700_000_000_000 + number * 60_000) for number in range(10)])
    for name, since, until in (("a", 0, 7), ("b", 4, 10)):
        window = [str(1_700_000_000_000 + minutes * 60_000) for minutes in (since, until)]
        assert cli.here("export", "--since", window[0], "--until", window[1], f"{name}.csv").code == 0
    assert [_import(cli, f"{name}.csv", "ab.db") for name in "ab"] == [(7, 0), (3, 3)]
    assert [_import(cli, f"{name}.csv", "ba.db") for name in "ba"] == [(6, 0), (4, 3)]
    assert _everything(cli.folder / "ab.db") == _everything(cli.db)


def test_rows_whose_id_is_taken_get_the_next_and_are_still_known(cli: Cli) -> None:
    """In a log with rows of its own an export gets new ids, and importing it again finds its rows."""
    cli.store(*[entry(model=f"m{number}") for number in range(3)])
    assert cli.here("export", "all.jsonl").code == 0
    (cli.folder / "own.jsonl").write_text(jsonl(*[entry(model="own")] * 2))
    assert _import(cli, "own.jsonl", "other.db") == (2, 0)
    assert _import(cli, "all.jsonl", "other.db") == (3, 0)
    assert _import(cli, "all.jsonl", "other.db") == (0, 3)
    with closing(sqlite3.connect(cli.folder / "other.db")) as connection:
        rows = connection.execute("SELECT id, model FROM request_logs ORDER BY id").fetchall()
    assert rows == [(1, "own"), (2, "own"), (3, "m0"), (4, "m1"), (5, "m2")]


def test_an_id_out_of_all_proportion_leaves_room_for_others(cli: Cli) -> None:
    """An id near the end of the numbers is not kept: no row could be stored after it."""
    (cli.folder / "odd.jsonl").write_text(jsonl({"id": 2**63 - 1, **entry()}, {"id": MAX_KEPT_ID, **entry(model="m")}))
    assert _import(cli, "odd.jsonl", str(cli.db)) == (2, 0)
    cli.store(entry())
    with closing(sqlite3.connect(cli.db)) as connection:
        rows = connection.execute("SELECT id FROM request_logs ORDER BY id").fetchall()
    assert rows == [(MAX_KEPT_ID,), (MAX_KEPT_ID + 1,), (MAX_KEPT_ID + 2,)]


def test_what_an_older_release_stored_in_clear_is_the_same_row(cli: Cli) -> None:
    """A row that would be redacted today is known in its own log, and stored redacted, once, in another."""
    cli.store(entry(error_message="plain"))
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF"
    cli.sql(f"UPDATE request_logs SET error_message = 'key {secret} refused'")
    assert cli.here("export", "all.csv").code == 0
    assert _import(cli, "all.csv", str(cli.db)) == (0, 1)
    assert [_import(cli, "all.csv", "other.db") for _ in range(2)] == [(1, 0), (0, 1)]
    with closing(sqlite3.connect(cli.folder / "other.db")) as connection:
        assert secret not in "\n".join(connection.iterdump())


REWRITES: dict[str, dict[str, object]] = {
    "all quoted": {"quoting": csv.QUOTE_ALL},
    "texts quoted": {"quoting": csv.QUOTE_NONNUMERIC},
    "as few quotes as possible": {"quoting": csv.QUOTE_MINIMAL},
    "semicolons": {"delimiter": ";"},
    "tabs": {"delimiter": "\t", "quoting": csv.QUOTE_ALL},
    "other line ends": {"lineterminator": "\n", "quoting": csv.QUOTE_ALL},
}


@pytest.mark.parametrize("how", REWRITES)
def test_an_export_that_another_program_wrote_again_is_the_same(cli: Cli, how: str) -> None:
    """Other quotes, delimiters and line ends, columns in another order and a byte order mark change no row.

    An empty text and NULL are the same there, because such a program does not tell them apart.
    """
    _fill(cli)
    assert cli.here("export", "all.csv").code == 0
    with (cli.folder / "all.csv").open(newline="") as file:
        rows = [row[::-1] for row in csv.reader(file)]
    with (cli.folder / "again.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, **REWRITES[how]).writerows(rows)  # type: ignore[arg-type]  # arguments of the writer
    count = len(TEXTS) + 5
    assert _import(cli, "again.csv", str(cli.db)) == (0, count)
    assert _import(cli, "again.csv", "other.db") == (count, 0)
    assert _import(cli, "all.csv", "other.db") == (0, count)
    assert _import(cli, "again.csv", "other.db") == (0, count)


def _as_pandas_writes_csv(path: Path) -> None:
    """Numbers of a column that lacks some as floats, bools as words, times as dates, and a column without a name."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = (
        "id",
        "prompt_tokens",
        "total_tokens",
        "http_status",
        "attempts",
        "ttft_ms",
        "cached_tokens",
        "latency_ms",
    )
    for place, row in enumerate(rows):
        row.update({name: f"{float(row[name])}" for name in numbers if row[name]})
        seconds, ms = divmod(int(row["timestamp"]), 1000)
        row["timestamp"] = f"2023-11-14 22:{seconds % 3600 // 60:02}:{seconds % 60:02}.{ms:03}000+00:00"
        row[""] = str(place)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _as_pandas_writes_parquet(path: Path) -> None:
    """Whole numbers as doubles with NaN for nothing, times in ns."""
    table = pq.read_table(path)
    for name in ("http_status", "prompt_tokens", "cached_tokens", "ttft_ms"):
        values = [float("nan") if value is None else float(value) for value in table.column(name).to_pylist()]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.float64()))
    place = table.schema.get_field_index("timestamp")
    pq.write_table(
        table.set_column(place, "timestamp", table.column("timestamp").cast(pa.timestamp("ns", "UTC"))), path
    )


@pytest.mark.parametrize(("form", "rewrite"), [("csv", _as_pandas_writes_csv), ("parquet", _as_pandas_writes_parquet)])
def test_an_export_that_went_through_pandas_is_the_same(cli: Cli, form: str, rewrite: Callable[[Path], None]) -> None:
    """Floats for whole numbers, and dates for times, are the numbers they were: the same rows, so duplicates."""
    cli.store(*[entry(model=f"m{number}", cached_tokens=[None, 5][number % 2], streamed=True) for number in range(6)])
    assert cli.here("export", f"all.{form}").code == 0
    rewrite(cli.folder / f"all.{form}")
    assert _import(cli, f"all.{form}", str(cli.db)) == (0, 6)
    assert _import(cli, f"all.{form}", "other.db") == (6, 0)
    assert _everything(cli.folder / "other.db") == _everything(cli.db)


@pytest.mark.parametrize(
    ("code", "status"), [("200.0", 200), ("429.0", 429), ("4.29e2", 429), ("nan", 200), ("", 200), ("-100.0", 500)]
)
def test_numbers_as_pandas_writes_them(cli: Cli, code: str, status: int) -> None:
    """A mapped status and count that were written as floats are whole, and NaN is nothing; in JSON as in text."""
    options = ["--map", "code=http_status", "--map", "n=prompt_tokens", "--map", "s=latency_ms*1000"]
    (cli.folder / "a.csv").write_text(f"chain_name,provider_id,model,code,n,s\nc,p,m,{code},120.0,0.5\n")
    numbers = {"code": None if code in ("", "nan") else float(code), "n": 120.0, "s": 0.5}
    (cli.folder / "a.jsonl").write_text(json.dumps({"chain_name": "c", "provider_id": "p", "model": "m", **numbers}))
    assert cli.here("import", *options, "a.csv", "a.jsonl").code == 0
    with closing(sqlite3.connect(cli.db)) as connection:
        rows = connection.execute(
            "SELECT http_status, prompt_tokens, latency_ms, metadata FROM request_logs"
        ).fetchall()
    assert rows == [(status, 120, 500, None)] * 2


def test_entries_as_csv_with_their_own_names_need_no_map(cli: Cli) -> None:
    """A header with the names of an entry is understood; a column that is not one is told, not left out."""
    (cli.folder / "a.csv").write_text(
        "chainName,provider_id,model,latency_ms,http_status,cost_usd\nc,p,m,1.5,429.0,0.25\n"
    )
    assert _import(cli, "a.csv", str(cli.db)) == (1, 0)
    (cli.folder / "b.csv").write_text("chain_name,provider_id,model,latency_ms,http_status,team\nc,p,m,1.5,429.0,x\n")
    done = cli.here("import", "b.csv")
    assert done.code == 1
    assert "b.csv:2: unknown field 'team'" in done.stderr
    assert "--map" in done.stderr


def test_a_row_that_was_edited_is_judged_like_an_entry(cli: Cli) -> None:
    """A required value that cannot be stored is a bad line; an odd optional one costs only itself."""
    lines = [{"id": 1, **entry(http_status=99)}, {"id": "x", **entry()}, {"id": 2, **entry(cost_usd="much")}]
    (cli.folder / "a.jsonl").write_text(jsonl(*lines))
    done = cli.here("import", "a.jsonl")
    assert done.code == 1
    assert "imported 1 entry" in done.stdout
    assert "a.jsonl:1: " in done.stderr
    assert "a.jsonl:2: id is 'x'" in done.stderr


def test_a_damaged_parquet_file_is_told(cli: Cli) -> None:
    """A Parquet file that was cut off is one error with the reason, and the code is 1."""
    cli.store(entry())
    assert cli.here("export", "all.parquet").code == 0
    (cli.folder / "cut.parquet").write_bytes((cli.folder / "all.parquet").read_bytes()[:-20])
    done = cli.here("import", "cut.parquet")
    assert done.code == 1
    assert "the Parquet file cannot be read after row 0" in done.stderr


def test_parquet_of_another_shape_takes_a_map(cli: Cli) -> None:
    """--map reads columns of Parquet like those of CSV, dates and decimals included."""
    times = pa.array([1_700_000_000_123_456], pa.timestamp("us"))
    table = pa.table({"at": times, "who": ["p"], "s": pa.array([0.5]), "model": ["m"]})
    pq.write_table(table, cli.folder / "a.parquet")
    options = ["--map", "at=timestamp", "--map", "who=provider_id", "--map", "s=latency_ms*1000"]
    constants = ["--set", "chain_name=c", "--set", "http_status=200"]
    assert cli.here("import", *options, *constants, "a.parquet").code == 0
    with closing(sqlite3.connect(cli.db)) as connection:
        rows = connection.execute("SELECT timestamp, provider_id, latency_ms FROM request_logs").fetchall()
    assert rows == [(1_700_000_000_123, "p", 500)]


@pytest.mark.parametrize(
    ("field", "column", "stored"),
    [
        ("model", pa.array(["m"]).dictionary_encode(), "m"),
        ("model", pa.array(["m"], pa.large_string()), "m"),
        ("model", pa.array(["m"], pa.string_view()), "m"),
        ("model", pa.array([b"caf\xc3\xa9"], pa.binary()), "caf\xe9"),
        ("timestamp", pa.array([1_795_593_600_123_456], pa.timestamp("us")), 1_795_593_600_123),
        ("timestamp", pa.array([1_795_593_600_123_456_789], pa.timestamp("ns")), 1_795_593_600_123),
        ("timestamp", pa.array([1_795_593_600], pa.timestamp("s", tz="Europe/Berlin")), 1_795_593_600_000),
        ("timestamp", pa.array([date(2026, 11, 25)]), 1_795_564_800_000),
        ("timestamp", pa.array([Decimal(1_795_593_600_123)], pa.decimal128(20, 0)), 1_795_593_600_123),
        ("cost_usd", pa.array([Decimal("0.0125")], pa.decimal256(50, 10)), 0.0125),
        ("cost_usd", pa.array([math.nan]), None),
        ("cost_usd", pa.nulls(1), None),
        ("latency_ms", pa.array([timedelta(milliseconds=1500)], pa.duration("us")), 1500),
        ("http_status", pa.array([429.0], pa.float32()), 429),
        ("streamed", pa.array([1], pa.int8()), 1),
        ("streamed", pa.array(["False"]), 0),
        ("metadata", pa.array([{"a": 1}]), '{"a":1}'),
        (
            "attempt_trail",
            pa.array([[{"provider_id": "p", "model": "m", "http_status": 429}]]),
            '[{"provider_id":"p","model":"m","http_status":429}]',
        ),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_the_types_of_parquet_are_what_they_stand_for(cli: Cli, field: str, column: pa.Array, stored: object) -> None:
    """Whatever type another program gave a column, the row has the value, and no mark."""
    columns = {name: pa.array([value]) for name, value in entry().items()} | {field: column}
    pq.write_table(pa.table(columns), cli.folder / "given.parquet")
    done = cli.here("import", "given.parquet")
    assert (done.code, done.stderr) == (0, "")
    with closing(sqlite3.connect(cli.db)) as connection:
        assert connection.execute(f"SELECT {field} FROM request_logs").fetchall() == [(stored,)]
