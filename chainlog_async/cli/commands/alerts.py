"""``chainlog alerts`` and ``chainlog alerts test``."""

from __future__ import annotations

import anyio
import click
import msgspec

from chainlog_async.alerts import TestResult, report_alerts, send_tests
from chainlog_async.cli.command_group import SuggestingGroup, names_command
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import output, print_json, utc_text
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.usage.alerts import AlertDelivery, AlertEpisode, AlertReport, AlertStatus

_ALERTS = (
    Column("alert", elastic=True),
    Column("rule", elastic=True),
    Column("to", elastic=True, spare=True),
    Column("state", elastic=True),
)
_HISTORY = (
    Column("fired at (UTC)"),
    Column("alert", elastic=True),
    Column("group", elastic=True),
    Column("value"),
    Column("cleared", elastic=True),
    Column("told", elastic=True),
)
_TESTS = (Column("target", elastic=True), Column("kind"), Column("to", elastic=True), Column("result", elastic=True))


class TestReport(msgspec.Struct, frozen=True):
    """The ``--json`` of ``chainlog alerts test``."""

    __test__ = False

    targets: list[TestResult]


@click.group(
    cls=SuggestingGroup,
    invoke_without_command=True,
    short_help="Show alerts, or test their targets.",
    epilog=examples(
        "chainlog alerts                           rules, what is firing, and the last 20 episodes",
        "chainlog alerts --json | jq '.alerts[] | select(.firing != []) | .name'",
        "chainlog alerts test                      send a test message to each target",
    ),
)
@click.option(
    "-n",
    "--limit",
    default=20,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1, max=1_000),
    help="How many episodes of the history.",
)
@json_option('one object with "alerts" and "history", as in GET /v1/alerts')
@settings_options
@click.pass_context
def alerts(ctx: click.Context, options: SettingsOptions, limit: int, as_json: bool) -> None:
    """Show the alerts in the settings, which of them are firing, and past episodes, newest first.

    A process that has the log open evaluates the rules; this command only reads.

    Exit codes: 0 done, 1 the database cannot be read.
    """
    if names_command(ctx):
        return
    settings = options.load()
    report = anyio.run(lambda: report_alerts(settings, limit=limit))
    if as_json:
        print_json(report)
    else:
        _print(report)


@alerts.command(
    short_help="Send a test message to each target.",
    epilog=examples("chainlog alerts test", "chainlog alerts test --json | jq '.targets[] | select(.error)'"),
)
@json_option('one object with "targets"')
@settings_options
@click.pass_context
def test(ctx: click.Context, options: SettingsOptions, as_json: bool) -> None:
    """Send a test message to each of alert_targets, and report the results.

    Exit codes: 0 every target accepted it, 1 at least one did not.
    """
    settings = options.load()
    results = anyio.run(send_tests, settings)
    if as_json:
        print_json(TestReport(results))
    elif results:
        Table(output(), _TESTS).print([(one.target, one.kind, one.place, one.error or "ok") for one in results])
    else:
        click.echo("there are no alert_targets in the settings")
    ctx.exit(1 if any(one.error is not None for one in results) else 0)


def _print(report: AlertReport) -> None:
    if report.alerts:
        Table(output(), _ALERTS).print([_alert(one) for one in report.alerts])
    else:
        click.echo("there are no alerts in the settings")
    if report.history:
        click.echo()
        Table(output(), _HISTORY).print([_episode(one) for one in report.history])


def _alert(one: AlertStatus) -> tuple[str, ...]:
    groups = ", ".join(episode.group or "firing" for episode in one.firing)
    state = "ok" if not one.firing else groups if groups == "firing" else f"firing: {groups}"
    return "" if one.name == one.when else one.name, one.when, ", ".join(one.targets) or "nobody", state


def _episode(one: AlertEpisode) -> tuple[str, ...]:
    cleared = "not yet" if one.cleared_at is None else utc_text(one.cleared_at)
    told = ", ".join(_told(each) for each in one.deliveries)
    return utc_text(one.fired_at), one.alert, one.group, one.value, cleared, told or "nobody"


def _told(each: AlertDelivery) -> str:
    if each.delivered_at is not None:
        return f"{each.target} {each.event}"
    state = "waits" if each.is_due else "given up"
    return f"{each.target} {each.event}: {state}{f' ({each.error})' if each.error else ''}"
