"""``chainlog vacuum``."""

from __future__ import annotations

import anyio
import click

from chainlog_async.admin.vacuum import vacuum_database, vacuum_space_needs
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import duration, plain, print_json
from chainlog_async.common.units import size_text

IN_POSTGRES = "autovacuum keeps it small, and dropped days return their space at once"
"""What to do instead where the log is in PostgreSQL."""


@click.command(
    short_help="Compact the file, and let it shrink by itself.",
    epilog=examples(
        "chainlog vacuum                           once, for a database of 429chain",
        "SQLITE_TMPDIR=/big chainlog vacuum        put temporary files elsewhere",
    ),
)
@json_option("one object with bytesBefore, bytesAfter and converted")
@settings_options
def vacuum(options: SettingsOptions, as_json: bool) -> None:
    """Rewrite the file without its free pages.

    Afterwards a file that 429chain created returns free space by itself, as files of this package always do, so this is
    needed at most once. Meanwhile it takes up to twice the room of the data: once among the temporary files and once in
    the write-ahead log. It is one transaction: a kill leaves the file unchanged. No other process can write meanwhile;
    a gateway keeps its entries in its journal.

    Exit codes: 0 done, 1 not done, for example because the disk is too full; the file is unchanged.
    """
    settings = options.load_file(IN_POSTGRES)
    path, timeout = settings.db_path, settings.busy_timeout_ms
    for need in anyio.run(lambda: vacuum_space_needs(path, busy_timeout_ms=timeout)):
        room = f"{size_text(need.needed)} in {plain(str(need.folder))}, where {size_text(need.free)} is free"
        click.echo(f"needs up to {room}", err=True)
    report = run_long_work(
        lambda progress: vacuum_database(path, busy_timeout_ms=timeout, on_progress=progress),
        if_stopped="the file is unchanged",
    )
    if as_json:
        print_json(report)
        return
    sizes = f"{size_text(report.bytes_before)} before, {size_text(report.bytes_after)} now"
    click.echo(f"compacted {plain(report.database)}: {sizes} ({duration(report.seconds * 1000)})")
    if report.converted:
        click.echo("from now on it returns space by itself when requests are pruned")
