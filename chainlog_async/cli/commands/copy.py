"""``chainlog copy``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import examples, json_option
from chainlog_async.cli.output.render import count_text, duration, plain, print_json
from chainlog_async.common.extras import install_command
from chainlog_async.errors import MissingExtraError

if TYPE_CHECKING:
    from chainlog_async.admin.copy import CopyReport


@click.command(
    short_help="Copy a SQLite log to PostgreSQL.",
    epilog=examples(
        "chainlog copy --from ./data/observability.db --to postgresql://chainlog@db.example.org/logs",
        "chainlog copy --from old.db --to 'postgresql://db/logs?schema=team_a' --json | jq .differences",
    ),
)
@click.option(
    "--from", "source", type=click.Path(path_type=Path), metavar="FILE", required=True, help="The SQLite file."
)
@click.option("--to", "target", metavar="URL", required=True, help="postgresql://… of an empty log.")
@json_option("one object with what was copied and what differs")
@click.pass_context
def copy(ctx: click.Context, source: Path, target: str, as_json: bool) -> None:
    """Copy all requests, the totals, and the usage of pruned requests, and verify that both logs are equal.

    First stop the gateway that writes to the file. The schema is created if it is missing. If the copy is stopped, run
    the command again to continue. The file is only read. Requests get new ids.

    Exit codes: 0 both logs are equal, 1 they are not, or the copy failed.
    """
    try:
        from chainlog_async.admin.copy import copy_log
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"PostgreSQL needs the extra postgres; {install_command('postgres')}") from error
    report = run_long_work(
        lambda progress: copy_log(source, target, on_progress=progress),
        if_stopped="run the same command again to go on",
    )
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    ctx.exit(1 if report.differences else 0)


def _print_report(report: CopyReport) -> None:
    name = plain(report.target)
    took = duration(report.seconds * 1_000)
    if report.differences:
        click.echo(f"{name} is not equal to {plain(report.source)}:")
        for one in report.differences:
            click.echo(f"  {plain(one)}")
    else:
        requests = count_text(report.requests, "request", "requests")
        click.echo(f"{name} is equal to {plain(report.source)}: {requests}, {report.copied:,} copied now ({took})")
    if report.completed:
        click.echo(f"completed {report.completed:,} totals and lines of usage with what was pruned")
    if report.rejected:
        rejected = count_text(report.rejected, "rejected entry stays", "rejected entries stay")
        click.echo(f"{rejected} in the file; see `chainlog rejected`")
