"""``chainlog show``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

import anyio
import click
import msgspec
from rich.text import Text

from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.charts import exact_dollars
from chainlog_async.cli.output.render import duration, number, output, plain, print_json, status, utc_text
from chainlog_async.cli.output.table import Cell, Column, Table
from chainlog_async.common.outcome import attempt_status
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import LoggedAttempt, RequestLogRow
from chainlog_async.settings import Settings

from .usage import open_usage

_ROW_ID = re.compile(r"[0-9]{1,19}", re.ASCII)
_SHOWN_IDS = 10
"""How many ids are named when more than one could be meant."""

_ATTEMPT_COLUMNS = (
    Column("attempt", right=True),
    Column("provider", elastic=True),
    Column("model", elastic=True),
    Column("code"),
    Column("latency", right=True),
    Column("tokens", right=True),
    Column("cost", right=True),
    Column("error", elastic=True),
)
_PROMPT_CLASSES = {
    "cached_tokens": "cached",
    "cache_write_tokens": "written to the cache",
    "cache_write_1h_tokens": "of these for an hour",
    "prompt_audio_tokens": "audio",
}
_COMPLETION_CLASSES = {"reasoning_tokens": "reasoning", "completion_audio_tokens": "audio"}


@click.command(
    short_help="Show one request in full, with its attempts.",
    epilog=examples(
        "chainlog show 4711                        an id from chainlog recent",
        "chainlog show req-005f4b                  the gateway's own id, or how it begins",
        "chainlog show 4711 --json | jq .attemptTrail",
    ),
)
@click.argument("wanted", metavar="ID")
@json_option("the request as one object")
@settings_options
def show(options: SettingsOptions, wanted: str, as_json: bool) -> None:
    """Show everything that is known about one request, with every attempt of its chain.

    ID is the id in this database, as chainlog recent shows it, or the gateway's own id, whole or its beginning.

    Exit codes: 0 done, 1 there is no such request, or more than one.
    """
    try:
        where = RequestFilter(request_id=wanted)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    if not wanted:
        raise click.UsageError("ID is empty; give one that chainlog recent shows.")
    request = anyio.run(_read, options.load(), where, wanted)
    if isinstance(request, str):
        click.echo(plain(request), err=True)
        raise click.exceptions.Exit(1)
    if as_json:
        print_json(request)
        return
    for label, value in _lines(request):
        text = Text(f"{label + ':':<15}") + (Text(plain(value)) if isinstance(value, str) else value)
        output().print(text, soft_wrap=True)
    if request.attempt_trail:
        click.echo()
        rows = [_attempt_cells(place, attempt) for place, attempt in enumerate(request.attempt_trail, 1)]
        Table(output(), _ATTEMPT_COLUMNS).print(rows)


async def _read(settings: Settings, where: RequestFilter, wanted: str) -> RequestLogRow | str:
    """Returns the request, or why there is not exactly one."""
    is_number = _ROW_ID.fullmatch(wanted) is not None
    async with open_usage(settings) as usage:
        if is_number and (request := await usage.get_request(int(wanted))) is not None:
            return request
        found = (await usage.find_requests(where, limit=_SHOWN_IDS)).requests
        if not found and not is_number:
            ids = await usage.find_request_ids(wanted, limit=_SHOWN_IDS + 1)
            if len(ids) > 1:
                more = ", ..." if len(ids) > _SHOWN_IDS else ""
                return f"several ids begin with {wanted}: {', '.join(ids[:_SHOWN_IDS])}{more}; give more of it"
            if ids:
                found = (await usage.find_requests(RequestFilter(request_id=ids[0]), limit=_SHOWN_IDS)).requests
    if not found:
        return f"there is no request {wanted}; it may have been pruned"
    if len(found) > 1:
        ids = [str(one.id) for one in found]
        return f"several requests have the id {found[0].request_id}: show one of {', '.join(ids)}"
    return found[0]


def _lines(request: RequestLogRow) -> Iterator[tuple[str, Cell]]:
    """Yields what is known, as labels and values."""
    yield "id", str(request.id)
    yield "time (UTC)", f"{utc_text(request.timestamp)}.{request.timestamp % 1000:03}"
    yield "chain", request.chain_name
    yield "provider", request.provider_id
    yield "model", request.model
    yield "status", status(request.http_status)
    yield "latency", duration(request.latency_ms)
    if request.ttft_ms is not None:
        yield "first token", duration(request.ttft_ms)
    yield "prompt", f"{number(request.prompt_tokens)} tokens{_classes(request, _PROMPT_CLASSES)}"
    yield "completion", f"{number(request.completion_tokens)} tokens{_classes(request, _COMPLETION_CLASSES)}"
    yield "total", f"{number(request.total_tokens)} tokens"
    if request.cost_usd is not None:
        yield "cost", exact_dollars(request.cost_usd)
    if unanswered := _unanswered_cost(request):
        yield "unanswered", f"{exact_dollars(unanswered)} of it spent on tries that did not answer"
    yield "attempts", number(request.attempts)
    if request.streamed is not None:
        yield "streamed", "yes" if request.streamed else "no"
    for label, text in (
        ("finish reason", request.finish_reason),
        ("service tier", request.service_tier),
        ("caller", request.caller),
        ("session", request.session_id),
        ("request id", request.request_id),
        ("response id", request.response_id),
    ):
        if text is not None:
            yield label, text
    if request.tags:
        yield "tags", ", ".join(request.tags)
    if request.error_message is not None:
        yield "error", request.error_message
    if request.metadata is not None:
        yield "metadata", msgspec.json.encode(request.metadata).decode()


def _classes(request: RequestLogRow, names: Mapping[str, str]) -> str:
    counts = [(getattr(request, field), name) for field, name in names.items()]
    return "".join(f", {number(count)} {name}" for count, name in counts if count is not None)


def _unanswered_cost(request: RequestLogRow) -> float:
    """What the attempts that did not answer cost, in US dollars."""
    return math.fsum(
        attempt.cost_usd or 0
        for attempt in request.attempt_trail or ()
        if attempt_status(attempt.http_status, attempt.error_message) >= 400
    )


def _attempt_cells(place: int, attempt: LoggedAttempt) -> tuple[Cell, ...]:
    return (
        str(place),
        attempt.provider_id,
        attempt.model,
        "-" if attempt.http_status is None else status(attempt.http_status),
        "" if attempt.latency_ms is None else duration(attempt.latency_ms),
        "" if attempt.prompt_tokens is attempt.completion_tokens is None else number(_tokens(attempt)),
        "" if attempt.cost_usd is None else exact_dollars(attempt.cost_usd),
        attempt.error_message or "",
    )


def _tokens(attempt: LoggedAttempt) -> int:
    return (attempt.prompt_tokens or 0) + (attempt.completion_tokens or 0)
