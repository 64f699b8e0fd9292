"""``chainlog sql``."""

from __future__ import annotations

import sys

import anyio
import click
from rich.text import Text

from chainlog_async.admin.sql import MAX_ROWS, QueryResult, Value, query_database
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.value_types import parse_short_duration, read_by
from chainlog_async.cli.output.render import output, print_json
from chainlog_async.cli.output.table import Cell, Column, Table

IN_POSTGRES = "use psql, with a role that may only read"
"""What to do instead where the log is in PostgreSQL."""


@click.command(
    short_help="Run read-only SQL on the file.",
    epilog=examples(
        "chainlog sql 'SELECT model, COUNT(*) AS requests FROM request_logs GROUP BY model'",
        "chainlog sql --json 'SELECT * FROM usage_by_provider' | jq '.[].provider_id'",
        "chainlog sql - < report.sql",
        "chainlog sql \"SELECT name FROM pragma_table_info('request_logs')\"",
    ),
)
@click.argument("query", metavar="QUERY|-")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=MAX_ROWS, show_default=True, help="Most rows.")
@click.option(
    "--timeout",
    "timeout_ms",
    metavar="TIME",
    callback=read_by(parse_short_duration),
    help="Interrupt the query after this time, such as 500ms or 2min.  [default: the setting read_timeout_ms]",
)
@json_option("an array with one object for each row")
@settings_options
def sql(options: SettingsOptions, query: str, limit: int, timeout_ms: int | None, as_json: bool) -> None:
    """Run one SQL statement on the database file, or the one on stdin (-), and print its rows.

    The statement can only read: it cannot change the log, attach another file or change a setting. The gateway can keep
    writing. The tables are described in docs/reference/schema.md.

    If there are more rows than --limit, the rest is left out, and stderr says so.

    Exit codes: 0 done, 1 SQLite refuses the statement, or it took too long (the reason is on stderr).
    """
    settings = options.load_file(IN_POSTGRES)
    text = sys.stdin.read() if query == "-" else query
    result = anyio.run(
        lambda: query_database(
            settings.db_path,
            text,
            max_rows=limit,
            timeout_ms=timeout_ms or settings.read_timeout_ms,
            busy_timeout_ms=settings.busy_timeout_ms,
        )
    )
    if as_json:
        print_json([dict(zip(result.columns, row, strict=True)) for row in result.rows])
    else:
        _print_table(result)
    if not result.is_complete:
        click.echo(f"there are more than {limit:,} rows; add a LIMIT to the statement, or raise --limit", err=True)


def _print_table(result: QueryResult) -> None:
    if not result.columns:
        return
    numbers = [any(isinstance(value, int | float) for value in column) for column in zip(*result.rows, strict=True)]
    columns = [
        Column(name, right=place < len(numbers) and numbers[place], elastic=True)
        for place, name in enumerate(result.columns)
    ]
    Table(output(), columns).print([[_cell(value) for value in row] for row in result.rows])


def _cell(value: Value) -> Cell:
    if value is None:
        return Text("NULL", style="dim")
    return value.hex() if isinstance(value, bytes) else str(value)
