"""The same calls, without a cost, get the right one by every way in, in everything that shows it."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.integrations._litellm.payload import read_event
from chainlog_async.integrations.asgi import ChainLogMiddleware, attempt
from tests.support.cli import Cli, jsonl
from tests.support.gateways import serving
from tests.support.litellm_events import Joined
from tests.support.right_values import CALLS, Call, litellm_payload, streamed
from tests.support.service import running, service_settings
from tests.support.writing import settings_for

pytest.importorskip("genai_prices")

Json = dict[str, Any]

PRICES = {"CHAINLOG_PRICES": "true"}


def entries() -> list[Json]:
    """What a gateway would log of the calls, by the names of an entry."""
    names = {"timestamp": int(time.time() * 1000), "chain_name": "default", "latency_ms": 900, "http_status": 200}
    return [{**names, "provider_id": call.provider_id, "model": call.model, **call.tokens} for call in CALLS]


async def by_log_request(cli: Cli) -> None:
    """From a gateway's own code."""
    async with ChainLog(settings_for(cli.db, prices=True)) as chainlog:
        for each in entries():
            assert chainlog.log_request(RequestLogEntry(**each))


async def by_post(cli: Cli) -> None:
    """From another program."""
    async with running(service_settings(cli.folder, db_path=cli.db)) as client:
        reply = await client.post("/v1/logs", json=entries())
        assert reply.status_code == 202, reply.text


async def by_the_middleware(cli: Cli) -> None:
    """From the streams of Anthropic and OpenAI that pass through it."""

    async def handler(request: Request) -> StreamingResponse:
        call = CALLS[int(request.query_params["call"])]
        with attempt(call.provider_id, call.model) as tried:
            tried.http_status = 200
        return StreamingResponse(in_pieces(streamed(call)), media_type="text/event-stream")

    chainlog = ChainLog(settings_for(cli.db, prices=True))
    app = Starlette(
        routes=[Route("/v1/messages", handler, methods=["POST"])],
        middleware=[Middleware(ChainLogMiddleware, chainlog=chainlog)],
    )
    async with serving(app, chainlog) as client:
        for place in range(len(CALLS)):
            await client.post(f"/v1/messages?call={place}", json={"stream": True})


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """A body that is cut anywhere."""
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


async def by_litellm(cli: Cli) -> None:
    """From the payload of LiteLLM's callback, for models whose prices LiteLLM does not know."""
    joined = Joined()
    for call in CALLS:
        reported = read_event({"standard_logging_object": litellm_payload(call)}, succeeded=True)
        assert reported is not None
        joined.take(reported)
    joined.window.flush()
    async with ChainLog(settings_for(cli.db, prices=True)) as chainlog:
        for each in joined.entries:
            assert chainlog.log_request(each)


async def by_import_of_lines(cli: Cli) -> None:
    """From a file of JSON lines."""
    await imported(cli, "entries.jsonl", jsonl(*entries()))


async def by_import_of_csv(cli: Cli) -> None:
    """From a table."""
    table = io.StringIO()
    writer = csv.DictWriter(table, {name: None for each in entries() for name in each})
    writer.writeheader()
    writer.writerows(entries())
    await imported(cli, "entries.csv", table.getvalue())


async def imported(cli: Cli, name: str, content: str) -> None:
    """`chainlog import` of a file."""
    (cli.folder / name).write_text(content)
    done = await run_sync(lambda: cli.run("import", name, env=PRICES))
    assert done.code == 0, done.stderr


WAYS: list[Callable[[Cli], Awaitable[None]]] = [
    by_log_request,
    by_post,
    by_the_middleware,
    by_litellm,
    by_import_of_lines,
    by_import_of_csv,
]


def right(calls: tuple[Call, ...] = CALLS) -> list[object]:
    """The costs of the calls in US dollars, to the microdollar and beyond, the cheapest first."""
    return [pytest.approx(micro / 1e6, abs=1e-12) for micro in sorted(call.micro_usd for call in calls)]


def costs(items: list[Json]) -> list[float]:
    """The costs that are shown, the lowest first."""
    return sorted(item["costUsd"] for item in items)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_the_right_cost_comes_out_by_every_way_in(way: Callable[[Cli], Awaitable[None]], tmp_path: Path) -> None:
    """In the rows and sums of the command line, of HTTP, and in what the dashboard draws its charts and cards from."""
    cli = Cli(tmp_path)
    await way(cli)
    await run_sync(check_command_line, cli)
    async with running(service_settings(cli.folder, db_path=cli.db)) as client:

        async def get(path: str, **parameters: str | int) -> Json:
            reply = await client.get(path, params=parameters)
            assert reply.status_code == 200, reply.text
            document: Json = reply.json()
            return document

        rows = (await get("/v1/requests", limit=50))["requests"]
        assert costs(rows) == right()
        assert {row["costSource"] for row in rows} == {"table"}
        # What the page asks for: the cards, the charts and an opened request.
        (card,) = (await get("/v1/usage", **{"from": "1d"}))["points"]
        assert card["costUsd"] == pytest.approx(sum(call.micro_usd for call in CALLS) / 1e6, abs=1e-12)
        chart = (await get("/v1/usage", by="model", step="15m", groups=50, fill="true", **{"from": "1d"}))["points"]
        assert costs([point for point in chart if point["requests"]]) == right()
        opened = await get(f"/v1/requests/{rows[0]['id']}")
        assert opened["costUsd"] == rows[0]["costUsd"]


def check_command_line(cli: Cli) -> None:
    """What its commands print with ``--json``."""

    def printed(*args: str) -> Json:
        return cli.json(*args)

    recent = printed("recent", "--limit", "50")["requests"]
    assert costs(recent) == right()
    assert {row["costSource"] for row in recent} == {"table"}
    assert costs(printed("usage", "--by", "model", "--since", "1d")["points"]) == right()
    assert printed("show", str(recent[0]["id"]))["costUsd"] == recent[0]["costUsd"]
    (totals,) = printed("usage", "chains")["chains"]
    assert totals["totalCostUsd"] == pytest.approx(sum(call.micro_usd for call in CALLS) / 1e6, abs=1e-12)
