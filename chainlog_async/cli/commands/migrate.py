"""``chainlog migrate``."""

from __future__ import annotations

import click

from chainlog_async.admin.migrate import migrate_database, migration_script
from chainlog_async.cli.confirmation import confirm_new_folder, yes_option
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import plain, print_json


@click.command(
    short_help="Migrate a database to this release's schema.",
    epilog=examples(
        "chainlog migrate                                 the database of ./config.yaml",
        "chainlog migrate --db ./429chain/observability.db",
        "chainlog migrate --db-url postgresql://owner@db/log",
        "chainlog migrate --db-url postgresql:///log --sql | psql -d log",
    ),
)
@yes_option("make the folder of --db if it does not exist; needed where there is no terminal.")
@click.option("--sql", "as_sql", is_flag=True, help="Only print the SQL, for PostgreSQL's administrator.")
@click.option(
    "--from-version",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="With --sql: the version that the schema has already.",
)
@json_option("one object with database, fromVersion and toVersion")
@settings_options
def migrate(options: SettingsOptions, as_sql: bool, from_version: int, yes: bool, as_json: bool) -> None:
    """Migrate a database to this release's schema, or create one.

    A database of 429chain is taken over with its rows and totals, and 429chain can keep writing to it. The gateway or
    service does the same when it starts. Every step is one transaction; running this again changes nothing.

    With PostgreSQL, a gateway whose role may not create tables needs this to be run by one that may. The functions
    grant_writer and grant_reader of the schema then give roles what they need (docs/how-to/many-hosts.md).
    """
    if options.db is not None:
        confirm_new_folder(options.db, yes=yes)
    settings = options.load_here()
    if as_sql:
        click.echo(migration_script(settings, from_version), nl=False)
        return
    report = run_long_work(
        lambda on_progress: migrate_database(settings, on_progress),
        if_stopped="the database is at the version of the last finished step; run this again to continue",
    )
    if as_json:
        print_json(report)
        return
    name = plain(report.database)
    if not report.from_version:
        click.echo(f"created {name} with schema version {report.to_version}")
    elif report.from_version == report.to_version:
        click.echo(f"{name} already has schema version {report.to_version}; nothing to do")
    else:
        click.echo(f"migrated {name} from schema version {report.from_version} to {report.to_version}")
