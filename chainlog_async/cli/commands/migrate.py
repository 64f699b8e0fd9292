"""``chainlog migrate``."""

from __future__ import annotations

import click
import msgspec

from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import Source, examples, json_option, settings_options
from chainlog_async.cli.output.render import plain, print_json
from chainlog_async.common.progress import Progress
from chainlog_async.settings import Settings
from chainlog_async.storage.sqlite.connection import close_connection, initialize_database
from chainlog_async.storage.sqlite.schema import migrate_schema, read_identity


class MigrationReport(msgspec.Struct, frozen=True, rename="camel"):
    """The ``--json`` of ``chainlog migrate``."""

    database: str
    from_version: int
    """0: there was nothing yet."""
    to_version: int


@click.command(
    short_help="Bring a database to this release's schema.",
    epilog=examples(
        "chainlog migrate                                 the database of ./config.yaml",
        "chainlog migrate --db ./429chain/observability.db",
    ),
)
@json_option("one object with database, fromVersion and toVersion")
@settings_options
def migrate(source: Source, as_json: bool) -> None:
    """Bring a database to this release's schema, or make a new one.

    A database of 429chain is taken over with its rows and totals, and 429chain can go on writing to it. The gateway or
    service does the same when it starts. Every step is one transaction, and doing it twice does nothing.
    """
    settings = source.load()
    report = run_long_work(
        lambda on_progress: _migrate(settings, on_progress),
        if_stopped="the database is at the version of the last step that was finished: run it again to go on",
    )
    if as_json:
        print_json(report)
        return
    name = plain(report.database)
    if not report.from_version:
        click.echo(f"made {name} with schema version {report.to_version}")
    elif report.from_version == report.to_version:
        click.echo(f"{name} has schema version {report.to_version} already; nothing to do")
    else:
        click.echo(f"migrated {name} from schema version {report.from_version} to {report.to_version}")


async def _migrate(settings: Settings, on_progress: Progress) -> MigrationReport:
    connection = await initialize_database(
        settings.db_path,
        busy_timeout_ms=settings.busy_timeout_ms,
        synchronous=settings.synchronous,
        wal_limit_bytes=settings.wal_limit_bytes,
    )
    try:
        before = (await read_identity(connection)).version
        after = await migrate_schema(connection, on_progress=on_progress)
        return MigrationReport(str(settings.db_path), before, after)
    finally:
        await close_connection(connection)
