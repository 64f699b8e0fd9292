"""``chainlog prices``: list, set, import and update."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path

import anyio
import click

from chainlog_async.admin.engines import tasks_of
from chainlog_async.cli.command_group import SuggestingGroup, names_command
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import count_text, number, output, plain, print_json, utc_text
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.common.units import parse_iso_time
from chainlog_async.errors import InvalidEntryError
from chainlog_async.prices.litellm_map import read_map
from chainlog_async.prices.model import Price, dollars_of, rate_of
from chainlog_async.prices.names import canonical

_COLUMNS = (
    Column("provider", elastic=True),
    Column("model", elastic=True),
    Column("tier"),
    Column("above", right=True),
    Column("input", right=True),
    Column("output", right=True),
    Column("cached", right=True),
    Column("written", right=True),
    Column("for 1h", right=True),
    Column("since (UTC)"),
    Column("source"),
)


class _Dollars(click.ParamType[int]):
    """US dollars per million tokens, as pico-dollars per token."""

    name = "dollars"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return rate_of(Decimal(str(value)))
        except (InvalidOperation, ValueError):
            self.fail(f"{value!r} is no price; give US dollars per million tokens, such as 0.05.", param, ctx)


class _Day(click.ParamType[int]):
    """A day or a time, as ms since the epoch."""

    name = "day"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_iso_time(str(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no day; give ISO 8601, such as 2026-11-01.", param, ctx)


_since_option = click.option(
    "--since", type=_Day(), default=0, metavar="DAY", help="From when on it is valid, in UTC. Without it, always."
)


@click.group(
    cls=SuggestingGroup,
    invoke_without_command=True,
    short_help="Show and change what models cost.",
    epilog=examples(
        "chainlog prices list groq",
        "chainlog prices set groq llama-3.1-8b-instant --input 0.05 --output 0.08 --since 2026-11-01",
        "chainlog prices import model_prices_and_context_window.json",
        "chainlog prices update                    after an upgrade of genai-prices",
    ),
)
@json_option("an array of prices, in pico-dollars per token")
@settings_options
@click.pass_context
def prices(ctx: click.Context, options: SettingsOptions, as_json: bool) -> None:
    """Show and change the prices that give a request its cost when neither the provider nor the gateway reports one.

    A price that was set takes precedence over an imported one, and that over one of genai-prices. A change applies to
    requests that are stored from then on.

    Exit codes: 0 done, 1 the database cannot be read.
    """
    if not names_command(ctx):
        _print_prices(options, None, None, as_json=as_json)


@prices.command("list", short_help="Show prices, in US dollars per million tokens.")
@click.argument("provider", required=False)
@click.argument("model", required=False)
@json_option("an array of prices, in pico-dollars per token")
@settings_options
def list_command(options: SettingsOptions, provider: str | None, model: str | None, as_json: bool) -> None:
    """Show the prices of all models, of a PROVIDER, or of one MODEL of it.

    Exit codes: 0 done, 1 the database cannot be read.
    """
    _print_prices(options, provider, model, as_json=as_json)


def _print_prices(options: SettingsOptions, provider: str | None, model: str | None, *, as_json: bool) -> None:
    tasks = tasks_of(options.load())
    named = canonical(provider, model or "") if provider else (None, "")
    found = anyio.run(lambda: tasks.list_prices(named[0], named[1] or None))
    if as_json:
        print_json(found)
    elif found:
        Table(output(), _COLUMNS).print([_cells(price) for price in found])
    else:
        click.echo("there are no prices")


@prices.command("set", short_help="Set the price of a model.")
@click.argument("provider")
@click.argument("model")
@click.option("--input", "input_", type=_Dollars(), required=True, help="Prompt tokens.")
@click.option("--output", "output_", type=_Dollars(), help="Completion tokens.")
@click.option("--cache-read", type=_Dollars(), help="Prompt tokens that a cache read; without it, as --input.")
@click.option("--cache-write", type=_Dollars(), help="Prompt tokens written to a cache; without it, as --input.")
@click.option("--cache-write-1h", type=_Dollars(), help="Those kept for an hour; without it, as --cache-write.")
@click.option("--input-audio", type=_Dollars(), help="Audio in the prompt; without it, as --input.")
@click.option("--output-audio", type=_Dollars(), help="Audio in the completion; without it, as --output.")
@click.option("--tier", default="", metavar="NAME", help="Only for this service tier.")
@click.option("--above", default=0, type=click.IntRange(min=0), metavar="TOKENS", help="Only for longer prompts.")
@_since_option
@settings_options
def set_command(
    options: SettingsOptions,
    /,
    provider: str,
    model: str,
    input_: int,
    output_: int | None,
    tier: str,
    above: int,
    since: int,
    **rates: int | None,
) -> None:
    """Set what MODEL of PROVIDER costs, in US dollars per million tokens. It takes precedence over every other source.

    Exit codes: 0 done, 1 the database cannot be written.
    """
    tasks = tasks_of(options.load())
    provider_id, name = canonical(provider, model)
    price = Price(
        provider_id=provider_id,
        model=name,
        service_tier=tier,
        above_tokens=above,
        since=since,
        source="manual",
        input=input_,
        output=output_,
        **rates,
    )
    anyio.run(lambda: tasks.set_prices([price]))
    click.echo(plain(f"set the price of {provider_id} {name}"))


@prices.command("import", short_help="Import LiteLLM's map of prices.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_since_option
@settings_options
def import_prices(options: SettingsOptions, file: Path, since: int) -> None:
    """Import the prices of LiteLLM's model_prices_and_context_window.json.

    Exit codes: 0 done, 1 the file is no such map, or the database cannot be written.
    """
    tasks = tasks_of(options.load())
    try:
        found = read_map(file.read_bytes(), since=since)
    except InvalidEntryError as error:
        raise click.ClickException(f"{file}: {error}") from None
    anyio.run(lambda: tasks.set_prices(found))
    click.echo(f"imported {count_text(len(found), 'price', 'prices')}")


@prices.command("update", short_help="Look up all models again in genai-prices.")
@json_option("one object")
@settings_options
def update(options: SettingsOptions, as_json: bool) -> None:
    """Look up every model of the log again in the installed genai-prices (extra prices). Nothing is fetched.

    Exit codes: 0 done, 1 the extra is missing, or the database cannot be written.
    """
    done = anyio.run(tasks_of(options.load()).update_prices)
    if as_json:
        print_json(done)
        return
    click.echo(f"{number(done.priced)} of {count_text(done.models, 'model', 'models')} have a price")
    for name in done.unknown:
        click.echo(plain(f"  no price: {name}"))


def _cells(price: Price) -> tuple[str, ...]:
    return (
        price.provider_id,
        price.model,
        price.service_tier or "-",
        number(price.above_tokens) if price.above_tokens else "-",
        *(
            "-" if rate is None else f"{dollars_of(rate):f}"
            for rate in (price.input, price.output, price.cache_read, price.cache_write, price.cache_write_1h)
        ),
        utc_text(price.since)[:10] if price.since else "-",
        price.source,
    )
