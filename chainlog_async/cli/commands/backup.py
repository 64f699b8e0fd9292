"""``chainlog backup``."""

from __future__ import annotations

from pathlib import Path

import click

from chainlog_async.admin.backup import backup_database
from chainlog_async.cli.confirmation import may_replace
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import duration, plain, print_json
from chainlog_async.common.units import size_text

IN_POSTGRES = "use pg_dump, or pg_basebackup for the whole server"
"""What to do instead where the log is in PostgreSQL."""


@click.command(
    short_help="Copy the database while it is in use.",
    epilog=examples(
        "chainlog backup /backups/observability.db",
        "chainlog backup --force ~/chainlog.db              replace yesterday's backup, without asking",
        "chainlog backup /backups/$(date -u +%F).db --json | jq .bytes",
    ),
)
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", "--yes", is_flag=True, help="Replace FILE if it exists, without asking.")
@json_option("one object with database, backup, bytes and seconds")
@settings_options
def backup(options: SettingsOptions, target: Path, force: bool, as_json: bool) -> None:
    """Copy the database to FILE while the gateway keeps writing.

    The copy is one consistent state of the database in a single file without free pages, and only its owner can read
    it. It is checked and synced before it gets its name, so FILE is either complete or missing. To restore it, stop the
    gateway and put it in the place of the database, without the -wal and -shm files of the old one. Pruned requests and
    entries that are still in the journal are not in the copy.

    If FILE exists, it says on stderr what will be replaced, and asks. Without a terminal to ask on it needs --force.

    While the copy runs, the write-ahead log cannot be reset and grows by what is written. A kill leaves .FILE.partial,
    which the next backup to FILE replaces.

    Exit codes: 0 done, 1 there is no backup (the reason is on stderr).
    """
    settings = options.load_file(IN_POSTGRES)
    force = may_replace(target, force=force)
    report = run_long_work(
        lambda progress: backup_database(
            settings.db_path,
            target,
            overwrite=force,
            busy_timeout_ms=settings.busy_timeout_ms,
            on_progress=progress,
        ),
        if_stopped="no backup was made, and no partial file is left",
    )
    if as_json:
        print_json(report)
    else:
        took = duration(report.seconds * 1000)
        click.echo(f"copied {plain(report.database)} to {plain(report.backup)} ({size_text(report.bytes)}, {took})")
