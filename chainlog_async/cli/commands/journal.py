"""``chainlog journal`` and ``chainlog journal replay``."""

from __future__ import annotations

import anyio
import click

from chainlog_async.admin.journals import JournalReport, ReplayReport, list_journals, replay_journals
from chainlog_async.cli.command_group import SuggestingGroup, names_command
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import age, count_text, number, output, plain, print_json, utc_text
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.common.clock import now_ms
from chainlog_async.common.units import size_text

_COLUMNS = (
    Column("writer", elastic=True),
    Column("state"),
    Column("files", right=True, spare=True),
    Column("size", right=True),
    Column("waiting", right=True),
    Column("oldest waiting (UTC)"),
    Column("", spare=True),
)


@click.group(
    cls=SuggestingGroup,
    invoke_without_command=True,
    short_help="List the journals; replay those of dead writers.",
    epilog=examples(
        "chainlog journal                          what waits, and whether its writer is alive",
        "chainlog journal --json | jq '[.journals[].waiting] | add'",
        "chainlog journal replay                   write what dead writers left",
    ),
)
@json_option("one object with folder and journals")
@settings_options
@click.pass_context
def journal(ctx: click.Context, options: SettingsOptions, as_json: bool) -> None:
    """List the journals of this machine: their writers, and how many entries wait in them.

    An entry waits until it is in the database. Behind a living writer that takes a moment; what a dead writer left is
    written when the next gateway or service starts, or by chainlog journal replay. This command changes nothing.

    Exit codes: 0 done, 1 there is neither a database nor a journal, or a journal cannot be read.
    """
    if names_command(ctx):
        return
    settings = options.load()
    report = anyio.run(lambda: list_journals(settings))
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    ctx.exit(1 if any(one.problem for one in report.journals) else 0)


def _print_report(report: JournalReport) -> None:
    if report.database_error:
        click.echo(f"cannot read what is committed, so everything counts as waiting: {plain(report.database_error)}")
    now = now_ms()
    if not report.journals:
        click.echo(f"there is no journal in {plain(report.folder)}")
        return
    Table(output(), _COLUMNS).print(
        [
            (
                one.writer_id,
                "alive" if one.alive else "dead",
                number(one.segments),
                size_text(one.bytes),
                number(one.waiting),
                utc_text(one.oldest_waiting) if one.oldest_waiting is not None else "-",
                age(one.oldest_waiting, now=now),
            )
            for one in report.journals
        ]
    )
    for one in report.journals:
        if one.problem:
            click.echo(f"error: part of the journal of {one.writer_id} cannot be read: {plain(one.problem)}", err=True)


@journal.command(
    "replay",
    short_help="Write the entries that dead writers left.",
    epilog=examples("chainlog journal replay", "chainlog journal replay --json | jq .written"),
)
@json_option("one object with journals, written, rejected, truncated and living")
@settings_options
@click.pass_context
def replay_command(ctx: click.Context, options: SettingsOptions, as_json: bool) -> None:
    """Take over the journals of dead writers and write the entries in them, each exactly once.

    The next gateway or service to start does the same. Journals of living writers are left alone. Entries that the
    database refuses become rejected entries: see chainlog rejected.

    Exit codes: 0 done, 1 the database could not be written or a journal could not be read; the rest stays in the
    journals.
    """
    settings = options.load()
    report = run_long_work(
        lambda progress: replay_journals(settings, on_progress=progress),
        if_stopped="the rest stays in the journals",
    )
    if as_json:
        print_json(report)
    else:
        _print_replay_report(report)
    ctx.exit(1 if report.problems else 0)


def _print_replay_report(report: ReplayReport) -> None:
    if report.journals:
        journals = count_text(report.journals, "journal", "journals")
        entries = count_text(report.written, "entry", "entries")
        click.echo(f"wrote {entries} from {journals} of dead writers to {plain(report.database)}")
    else:
        click.echo(f"there is no journal of a dead writer beside {plain(report.database)}")
    if report.rejected:
        click.echo(f"rejected {count_text(report.rejected, 'entry', 'entries')}: see chainlog rejected")
    if report.truncated:
        click.echo(f"skipped {count_text(report.truncated, 'truncated line', 'truncated lines')}: never accepted")
    if report.living:
        click.echo(f"left alone {count_text(report.living, 'journal', 'journals')} of living writers")
    for problem in report.problems:
        click.echo(f"error: {plain(problem)}", err=True)
