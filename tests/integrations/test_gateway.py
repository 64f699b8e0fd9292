"""The example gateway, asked by OpenAI's own client; its log against what was asked."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import openai
import pytest
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chainlog_async import ChainLog
from chainlog_async.settings import Settings
from examples.demo.__main__ import simulated_config
from examples.demo.serving import listening, serving
from examples.demo.simulated import Behaviour, simulated_providers
from examples.gateway.app import create_gateway
from examples.gateway.config import Config, Provider, Target, load_config
from examples.gateway.hanging_up import unless_hung_up
from tests.support.gateways import Row, row_count, rows_of
from tests.support.gateways import serving as support_serving


def quick(
    *, tokens: int = 5, fails: float = 0, hangs: float = 0, breaks: float = 0, limit: int | None = None
) -> Behaviour:
    """A provider that takes no time for what it does."""
    return Behaviour(0.0, 0.0, tokens=tokens, limit=limit, window_s=60, fails=fails, hangs=hangs, breaks=breaks)


BEHAVIOURS = {
    "good": quick(),
    "limited": quick(limit=0),
    "failing": quick(fails=1),
    "hanging": quick(hangs=1),
    "forever": quick(hangs=1),
    "breaking": quick(breaks=1, tokens=1_000),
    "endless": Behaviour(first_token_s=0.0, token_s=0.01, tokens=1_000_000_000),
}


def target(provider: str) -> Target:
    """An entry of a chain whose model is named after its provider."""
    return Target(provider, f"{provider}-model", prompt_usd=2.0, completion_usd=10.0)


CONFIG = Config(
    providers={name: Provider("", timeout_s=0.3 if name == "hanging" else 30) for name in BEHAVIOURS},
    chains={
        "plain": [target("good")],
        "waterfall": [target("limited"), target("failing"), target("good")],
        "patient": [target("hanging"), target("good")],
        "hopeless": [target("forever")],
        "doomed": [target("failing"), target("hanging")],
        "exhausted": [target("limited")],
        "breaking": [target("breaking")],
        "endless": [target("endless")],
    },
    callers={"sk-one": "team-one", "sk-two": "team-two"},
)


@asynccontextmanager
async def running(chainlog: ChainLog) -> AsyncIterator[str]:
    """The gateway's URL, with its providers beside it."""
    with listening() as providers_socket, listening() as gateway_socket:
        providers = simulated_providers(BEHAVIOURS, random.Random(1))
        async with serving(providers, providers_socket) as providers_url:
            gateway = create_gateway(simulated_config(CONFIG, providers_url), chainlog)
            async with serving(gateway, gateway_socket) as url:
                yield url


@asynccontextmanager
async def asking(chainlog: ChainLog, key: str = "sk-one") -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's asynchronous client of a gateway."""
    async with (
        running(chainlog) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client,
    ):
        yield client


async def ask(client: openai.AsyncOpenAI, chain: str) -> openai.types.chat.ChatCompletion:
    """One plain question."""
    return await client.chat.completions.create(model=chain, messages=[{"role": "user", "content": "secret " * 20}])


def trail_of(row: Row) -> list[tuple[str, int | None]]:
    """The attempts of a row: provider and status."""
    trail = row["attempt_trail"]
    assert isinstance(trail, list)
    return [(each["provider_id"], each.get("http_status")) for each in trail]


async def test_a_plain_question(chainlog: ChainLog) -> None:
    """The answer's tokens are the row's, with caller, price and the gateway's id, and without a word of the text."""
    async with asking(chainlog, "sk-two") as client:
        answer = await ask(client, "plain")
        (row,) = await rows_of(chainlog)
    usage = answer.usage
    assert usage is not None
    assert (row["prompt_tokens"], row["completion_tokens"]) == (usage.prompt_tokens, usage.completion_tokens)
    assert row["cost_usd"] == pytest.approx((2 * usage.prompt_tokens + 10 * usage.completion_tokens) / 1_000_000)
    assert (row["chain_name"], row["provider_id"], row["model"]) == ("plain", "good", "good-model")
    assert (row["http_status"], row["attempts"], row["caller"], row["streamed"]) == (200, 1, "team-two", 0)
    assert row["request_id"]
    assert "secret" not in str(row)
    assert "word" not in str(row)


async def test_the_synchronous_client(chainlog: ChainLog) -> None:
    """OpenAI's blocking client, plain and streaming, from a thread."""

    def ask_both_ways(url: str) -> tuple[str | None, str]:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-one", max_retries=0) as client:
            plain = client.chat.completions.create(model="plain", messages=[{"role": "user", "content": "hi"}])
            stream = client.chat.completions.create(
                model="plain", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            return plain.choices[0].message.content, "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    async with running(chainlog) as url:
        plain, streamed = await to_thread.run_sync(ask_both_ways, url)
        rows = await rows_of(chainlog)
    assert plain
    assert streamed.startswith(" word")
    assert [(row["http_status"], row["streamed"]) for row in rows] == [(200, 0), (200, 1)]


async def test_a_stream_with_usage(chainlog: ChainLog) -> None:
    """The stream's last chunk and the row tell the same tokens, and the first token has a time."""
    async with asking(chainlog) as client:
        stream = await client.chat.completions.create(
            model="waterfall",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        usages = [chunk.usage async for chunk in stream]
        (row,) = await rows_of(chainlog)
    last = usages[-1]
    assert last is not None
    assert (row["prompt_tokens"], row["completion_tokens"]) == (last.prompt_tokens, last.completion_tokens)
    assert (row["streamed"], row["attempts"], row["provider_id"]) == (1, 3, "good")
    assert isinstance(row["ttft_ms"], int)


async def test_falling_over(chainlog: ChainLog) -> None:
    """A 429 and a failure are tries of the one row; the next request leaves the provider alone that said 429."""
    async with asking(chainlog) as client:
        await ask(client, "waterfall")
        await ask(client, "waterfall")
        first, second = await rows_of(chainlog)
    assert (first["http_status"], first["attempts"], first["error_message"]) == (200, 3, None)
    assert trail_of(first) == [("limited", 429), ("failing", 500), ("good", 200)]
    assert trail_of(second) == [("failing", 500), ("good", 200)]


async def test_a_provider_that_hangs_is_left_behind(chainlog: ChainLog) -> None:
    """After its timeout the next provider answers; the try has no status and says why."""
    async with asking(chainlog) as client:
        await ask(client, "patient")
        (row,) = await rows_of(chainlog)
    assert trail_of(row) == [("hanging", None), ("good", 200)]
    trail, latency_ms = row["attempt_trail"], row["latency_ms"]
    assert isinstance(trail, list)
    assert isinstance(latency_ms, int)
    assert trail[0]["error_message"] == "ReadTimeout"
    assert latency_ms >= trail[0]["latency_ms"] >= 300


async def test_a_chain_that_fails(chainlog: ChainLog) -> None:
    """When no provider answers the client has 502, and the row every try."""
    async with asking(chainlog) as client:
        with pytest.raises(openai.InternalServerError) as failure:
            await ask(client, "doomed")
        (row,) = await rows_of(chainlog)
    assert failure.value.status_code == row["http_status"] == 502
    assert trail_of(row) == [("failing", 500), ("hanging", None)]
    assert row["error_message"] == "no provider of 'doomed' answered"


async def test_a_chain_that_cools_down(chainlog: ChainLog) -> None:
    """When every provider said 429 so does the gateway, with the time to wait; asked again, it tries none."""
    async with asking(chainlog) as client:
        for _ in range(2):
            with pytest.raises(openai.RateLimitError) as refused:
                await ask(client, "exhausted")
            assert 0 < int(refused.value.response.headers["retry-after"]) <= 62
        first, second = await rows_of(chainlog)
    assert trail_of(first) == [("limited", 429)]
    assert (second["http_status"], second["attempt_trail"], second["chain_name"]) == (429, None, "exhausted")
    assert (second["provider_id"], second["attempts"]) == ("gateway", 0)


async def test_a_stream_that_breaks_off(chainlog: ChainLog) -> None:
    """A provider that breaks off is an error for the client, and a 502 in the log although the stream began."""
    async with asking(chainlog) as client:
        stream = await client.chat.completions.create(
            model="breaking", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="the provider broke off"):
            _ = [chunk async for chunk in stream]
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["streamed"]) == (502, 1)
    assert row["error_message"] == "broke off: RemoteProtocolError"
    assert trail_of(row) == [("breaking", 200)]


async def test_a_client_that_leaves(chainlog: ChainLog) -> None:
    """A stream that the client closes is a 499 with its provider."""
    async with asking(chainlog) as client:
        stream = await client.chat.completions.create(
            model="endless", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async for _chunk in stream:
            break
        await stream.close()
        (row,) = await row_count(chainlog, 1)
    assert (row["http_status"], row["provider_id"], row["error_message"]) == (499, "endless", "the client hung up")


async def test_a_client_that_does_not_wait(chainlog: ChainLog) -> None:
    """A client that gives up before there is an answer is a 499, and the provider is let go."""
    async with asking(chainlog) as client:
        with pytest.raises(openai.APITimeoutError):
            await ask(client.with_options(timeout=0.3), "hopeless")
        (row,) = await row_count(chainlog, 1)
    assert (row["http_status"], row["provider_id"], row["error_message"]) == (499, "forever", "the client hung up")


async def test_an_error_of_the_answer_stays_what_it_is(chainlog: ChainLog) -> None:
    """What listens for the client does not wrap the handler's exceptions, so that frameworks know them."""

    async def refuse() -> Response:
        raise HTTPException(418)

    async def handler(request: Request) -> Response:
        return await unless_hung_up(request, refuse())

    app = Starlette(routes=[Route("/", handler, methods=["POST"])])
    async with support_serving(app, chainlog) as client:
        assert (await client.post("/")).status_code == 418


async def test_who_may_not_and_what_is_not(chainlog: ChainLog) -> None:
    """A wrong key, an unknown chain and a body that is no object are refused in OpenAI's shape, and recorded."""
    async with running(chainlog) as url:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-wrong", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await ask(client, "plain")
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-one", max_retries=0) as client:
            with pytest.raises(openai.NotFoundError, match="there are plain, waterfall"):
                await ask(client, "gpt-99")
            assert [model.id async for model in client.models.list()] == list(CONFIG.chains)
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer sk-one"}, verify=False) as plain:
            for content in ("[]", "{", b"\xff", '{"model": ["plain"]}'):
                assert (await plain.post("/v1/chat/completions", content=content)).status_code in {400, 404}
        rows = await rows_of(chainlog)
    assert [row["http_status"] for row in rows] == [401, 404, 400, 400, 400, 404]
    assert {(row["chain_name"], row["provider_id"], row["attempts"]) for row in rows} == {("none", "gateway", 0)}
    assert "sk-wrong" not in str(rows)


async def test_many_at_once(chainlog: ChainLog) -> None:
    """Sixty requests at a time are sixty rows, each with the tokens that its client saw."""
    seen: list[tuple[object, ...]] = []

    async def one(client: openai.AsyncOpenAI, number: int) -> None:
        reply = await client.chat.completions.with_raw_response.create(
            model=("plain", "waterfall")[number % 2],
            messages=[{"role": "user", "content": "x" * number}],
            extra_headers={"X-Request-Id": f"r{number}"},
        )
        usage = reply.parse().usage
        assert usage is not None
        seen.append((f"r{number}", 200, usage.prompt_tokens, usage.completion_tokens))

    async with asking(chainlog) as client:
        async with anyio.create_task_group() as tasks:
            for number in range(60):
                tasks.start_soon(one, client, number)
        rows = await rows_of(chainlog)
    found = [(row["request_id"], row["http_status"], row["prompt_tokens"], row["completion_tokens"]) for row in rows]
    assert sorted(found, key=str) == sorted(seen, key=str)


async def test_its_own_log_is_mounted(chainlog: ChainLog) -> None:
    """The service answers under /chainlog, from the gateway's own log."""
    async with asking(chainlog) as client:
        await ask(client, "plain")
        await chainlog.flush()
        async with httpx.AsyncClient(base_url=str(client.base_url).removesuffix("v1/"), verify=False) as plain:
            assert (await plain.get("/chainlog/health")).json()["status"] == "ok"
            providers = (await plain.get("/chainlog/v1/stats/providers")).json()["providers"]
    assert [provider["providerId"] for provider in providers] == ["good"]


@pytest.mark.parametrize("name", ["gateway/gateway.yaml", "demo/demo.yaml"])
def test_the_files_that_come_with_it_are_read(name: str, make_settings: Callable[..., Settings]) -> None:
    """Chains, providers, callers and the log's settings are all understood."""
    make_settings()
    path = Path(__file__).resolve().parents[2] / "examples" / name
    assert load_config(path).chains
    assert Settings.load(path, section="chainlog").db_path.parent.name == "data"


def test_a_chain_of_nobody_is_told(tmp_path: Path) -> None:
    """A chain that names a provider which is not in the file is refused when the file is read."""
    path = tmp_path / "gateway.yaml"
    path.write_text("providers: {}\nchains: {fast: [{provider: groq, model: m}]}")
    with pytest.raises(ValueError, match="'fast' asks 'groq', which is not among the providers"):
        load_config(path)
