"""``chainlog backup``."""

from __future__ import annotations

from pathlib import Path

import click

from chainlog_async.admin.backup import backup_database
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import duration, plain, print_json
from chainlog_async.common.units import size_text


@click.command(
    short_help="Copy the database while it is in use.",
    epilog=examples(
        "chainlog backup /backups/observability.db",
        "chainlog backup --force ~/chainlog.db              replace the one of yesterday",
        "chainlog backup /backups/$(date -u +%F).db --json | jq .bytes",
    ),
)
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@json_option("one object with database, backup, bytes and seconds")
@settings_options
def backup(options: SettingsOptions, target: Path, force: bool, as_json: bool) -> None:
    """Copy the database to FILE while the gateway goes on writing.

    The copy is one state of the database, one file without free pages, and only its owner can read it. It is checked
    and synced before it gets its name, so FILE is whole or not there; to restore it, stop the gateway and put it in
    the database's place, without the -wal and -shm of the old one. Pruned requests and what waits in the journal are
    not in it.

    As long as it copies, the write-ahead log cannot start afresh: it grows by what is written meanwhile. A kill leaves
    .FILE.partial, which the next backup to FILE replaces.

    Exit codes: 0 done, 1 there is no backup (the reason is on stderr).
    """
    settings = options.load()
    report = run_long_work(
        lambda progress: backup_database(
            settings.db_path,
            target,
            overwrite=force,
            busy_timeout_ms=settings.busy_timeout_ms,
            on_progress=progress,
        ),
        if_stopped="there is no backup, and no part of one",
    )
    if as_json:
        print_json(report)
    else:
        took = duration(report.seconds * 1000)
        click.echo(f"copied {plain(report.database)} to {plain(report.backup)} ({size_text(report.bytes)}, {took})")
