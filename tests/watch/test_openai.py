"""A watched client of OpenAI's own SDK, asked as programs ask it."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import openai
import pytest
from anyio import to_thread
from openai.types.chat import ChatCompletionMessageParam

from chainlog_async import ChainLog, describe_calls
from tests.support.gateways import Row, rows_in
from tests.support.stub_provider import StubProvider

# Guessing the type of a file reads the system's list of types the first time, which would block the loop.
mimetypes.init()

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "a secret question"}]


@asynccontextmanager
async def watched(
    chainlog: ChainLog,
    provider: StubProvider,
    **options: Any,  # those of the SDK
) -> AsyncIterator[openai.AsyncOpenAI]:
    """A watched client of the provider; when the block has ended, everything is in the database."""
    async with chainlog, provider.serving(), async_http_client() as http_client:
        base = {"base_url": f"{provider.url}/v1", "api_key": "sk-secret", "http_client": http_client}
        async with openai.AsyncOpenAI(**{**base, **options}) as client:
            yield chainlog.watch(client)


def async_http_client() -> httpx2.AsyncClient:
    """A client that loads no certificates, which takes long."""
    return httpx2.AsyncClient(verify=False, trust_env=False)


def rows_of(chainlog: ChainLog) -> list[Row]:
    """The rows, which hold no word of a prompt, an answer or a key."""
    rows = rows_in(chainlog.settings.db_path)
    assert "secret" not in str(rows)
    assert "sk-" not in str(rows)
    return rows


def only_row(chainlog: ChainLog) -> Row:
    """The one row that there is."""
    (row,) = rows_of(chainlog)
    return row


def trail_of(row: Row) -> list[tuple[int | None, str | None]]:
    """The attempts of a row: status and error."""
    trail = row["attempt_trail"]
    assert isinstance(trail, list)
    return [(each.get("http_status"), each.get("error_message")) for each in trail]


async def test_a_plain_call_is_one_row(chainlog: ChainLog, provider: StubProvider) -> None:
    """Provider, model, tokens with their classes, reason, ids and status are what the provider told."""
    async with watched(chainlog, provider) as client:
        answer = await client.chat.completions.create(model="plain", messages=ASKED)
    row = only_row(chainlog)
    assert answer.choices[0].message.content == "a secret answer"
    assert (row["provider_id"], row["model"]) == (provider.url.removeprefix("http://"), "plain")
    assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == (20, 7, 16)
    assert (row["reasoning_tokens"], row["finish_reason"], row["response_id"]) == (3, "stop", "chatcmpl-1")
    assert (row["http_status"], row["attempts"], row["attempt_trail"], row["error_message"]) == (200, 1, None, None)
    assert (row["request_id"], row["streamed"], row["ttft_ms"]) == ("req_1", 0, None)


async def test_a_stream_passes_chunk_by_chunk(chainlog: ChainLog, provider: StubProvider) -> None:
    """The first chunk is there long before the last; the row has the time to it, and the tokens of the last."""
    async with watched(chainlog, provider) as client:
        stream = await client.chat.completions.create(
            model="plain", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    row = only_row(chainlog)
    assert len(chunks) == 5
    assert (row["http_status"], row["streamed"], row["error_message"]) == (200, 1, None)
    assert (row["prompt_tokens"], row["completion_tokens"], row["finish_reason"]) == (20, 7, "stop")
    ttft_ms, latency_ms = row["ttft_ms"], row["latency_ms"]
    assert isinstance(ttft_ms, int)
    assert isinstance(latency_ms, int)
    assert ttft_ms <= latency_ms


async def test_retries_are_attempts_of_one_row(chainlog: ChainLog, provider: StubProvider) -> None:
    """429, 429, 200 is a request that was answered at the third attempt; each has its error's name, not its message."""
    async with watched(chainlog, provider) as client:
        await client.chat.completions.create(model="limited-2", messages=ASKED)
    row = only_row(chainlog)
    assert provider.asked["limited-2"] == 3
    assert (row["http_status"], row["attempts"], row["error_message"]) == (200, 3, None)
    assert trail_of(row) == [(429, "rate_limit_exceeded"), (429, "rate_limit_exceeded"), (200, None)]


@pytest.mark.parametrize("stream", [False, True])
async def test_retries_that_run_out(chainlog: ChainLog, provider: StubProvider, stream: bool) -> None:
    """The row is there as soon as the SDK raises its own exception, also when a stream was asked for."""
    async with watched(chainlog, provider) as client:
        with pytest.raises(openai.RateLimitError, match="secret limit"):
            await client.with_options(max_retries=1).chat.completions.create(
                model="limited-9", messages=ASKED, stream=stream
            )
    row = only_row(chainlog)
    assert (row["http_status"], row["attempts"], row["error_message"]) == (429, 2, "rate_limit_exceeded")
    assert (row["model"], row["outcome"], row["request_id"]) == ("limited-9", "failed", "req_2")


async def test_an_error_that_is_not_tried_again(chainlog: ChainLog, provider: StubProvider) -> None:
    """A wrong key is a 401 with the error's code."""
    async with watched(chainlog, provider) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="refused", messages=ASKED)
    row = only_row(chainlog)
    assert (row["http_status"], row["attempts"], row["error_message"]) == (401, 1, "invalid_api_key")


async def test_no_connection(chainlog: ChainLog, provider: StubProvider, unused_tcp_port: int) -> None:
    """Nobody listens: 502, and each attempt without a status."""
    async with watched(chainlog, provider, base_url=f"http://127.0.0.1:{unused_tcp_port}", max_retries=1) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(model="plain", messages=ASKED)
    row = only_row(chainlog)
    assert (row["http_status"], row["attempts"], row["error_message"]) == (502, 2, "ConnectError")
    assert trail_of(row) == [(None, "ConnectError")] * 2


async def test_a_timeout(chainlog: ChainLog, provider: StubProvider) -> None:
    """The client's own timeout is a 504, and the SDK raises what it always raises."""
    async with watched(chainlog, provider) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.with_options(timeout=0.1, max_retries=0).chat.completions.create(model="slow", messages=ASKED)
    row = only_row(chainlog)
    assert (row["http_status"], row["error_message"]) == (504, "ReadTimeout")


async def test_cancellation(chainlog: ChainLog, provider: StubProvider) -> None:
    """A task that is cancelled ends at once, and its call is a 499 of nobody's fault."""
    async with watched(chainlog, provider) as client:
        with anyio.move_on_after(0.1) as scope:
            await client.chat.completions.create(model="slow", messages=ASKED)
    row = only_row(chainlog)
    assert scope.cancelled_caught
    assert (row["http_status"], row["outcome"]) == (499, "cancelled")
    assert row["error_message"] == "cancelled before the answer was complete"


async def test_a_stream_that_is_closed_early(chainlog: ChainLog, provider: StubProvider) -> None:
    """Closing a stream frees the provider, and is a 499."""
    async with watched(chainlog, provider) as client:
        stream = await client.chat.completions.create(model="endless", messages=ASKED, stream=True)
        async for _chunk in stream:
            break
        await stream.close()
        await provider.gone.wait()
    row = only_row(chainlog)
    assert (row["http_status"], row["streamed"]) == (499, 1)
    assert row["error_message"] == "the response was closed before the answer was complete"


async def test_a_stream_that_breaks_off(chainlog: ChainLog, provider: StubProvider) -> None:
    """The program gets the SDK's exception; the request has failed in spite of its 200."""
    async with watched(chainlog, provider) as client:
        stream = await client.chat.completions.create(model="broken", messages=ASKED, stream=True)
        with pytest.raises(openai.APIError):
            _ = [chunk async for chunk in stream]
    row = only_row(chainlog)
    assert (row["http_status"], row["outcome"], row["error_message"]) == (200, "failed", "RemoteProtocolError")


async def test_raw_and_streamed_responses(chainlog: ChainLog, provider: StubProvider) -> None:
    """`with_raw_response` and `with_streaming_response` work as before, and are one row each."""
    async with watched(chainlog, provider) as client:
        raw = await client.chat.completions.with_raw_response.create(model="plain", messages=ASKED)
        assert raw.headers["x-request-id"] == "req_1"
        assert raw.elapsed.total_seconds() > 0
        async with client.chat.completions.with_streaming_response.create(model="gzip", messages=ASKED) as response:
            body: Any = await response.json()
        async with client.chat.completions.with_streaming_response.create(model="plain", messages=ASKED) as response:
            assert response.status_code == 200
    rows = rows_of(chainlog)
    assert body["usage"]["prompt_tokens"] == 20
    assert [(row["http_status"], row["prompt_tokens"]) for row in rows] == [(200, 20), (200, 20), (499, 0)]


async def ask_everything(client: openai.AsyncOpenAI) -> None:
    """One call of each API that OpenAI has and this log knows."""
    await client.responses.create(model="responses", input="secret")
    async for _event in await client.responses.create(model="responses-stream", input="secret", stream=True):
        pass
    await client.embeddings.create(model="embeddings", input="secret", encoding_format="float")
    await client.audio.transcriptions.create(model="transcription", file=("a.wav", b"secret"))
    await client.audio.speech.create(model="speech", voice="alloy", input="secret")
    await client.images.generate(model="images", prompt="secret")
    await client.models.list()


async def test_every_api(chainlog: ChainLog, provider: StubProvider) -> None:
    """Responses, embeddings, audio and images have their model and tokens; listing models is no call of one."""
    async with watched(chainlog, provider) as client:
        await ask_everything(client)
    rows = rows_of(chainlog)
    assert [(row["model"], row["prompt_tokens"], row["completion_tokens"], row["http_status"]) for row in rows] == [
        ("responses", 20, 7, 200),
        ("responses-stream", 20, 7, 200),
        ("embeddings", 5, 0, 200),
        ("transcription", 14, 4, 200),
        ("speech", 0, 0, 200),
        ("images", 9, 1_056, 200),
    ]


async def test_what_is_no_json(chainlog: ChainLog, provider: StubProvider) -> None:
    """A page of a proxy is a row without tokens, and reaches the program as the SDK gives it."""
    async with watched(chainlog, provider) as client:
        answer: object = await client.chat.completions.create(model="text", messages=ASKED)
    row = only_row(chainlog)
    assert answer == "<html>secret</html>"
    assert (row["http_status"], row["prompt_tokens"]) == (200, 0)


async def test_what_the_provider_charges(chainlog: ChainLog, provider: StubProvider) -> None:
    """OpenRouter tells the cost in its usage, which counts more than the program's own function."""
    async with watched(chainlog, provider) as client:
        chainlog.watch(client, cost=lambda _entry: 0.5)
        for model in ("charged", "plain"):
            await client.chat.completions.create(model=model, messages=ASKED)
    rows = rows_of(chainlog)
    assert [(row["cost_usd"], row["cost_source"]) for row in rows] == [(0.25, "provider"), (0.5, "gateway")]


async def test_what_is_said_of_calls(chainlog: ChainLog, provider: StubProvider) -> None:
    """Options say what holds for every call, a block what holds for the calls within it."""
    async with watched(chainlog, provider) as client:
        chainlog.watch(client, chain_name="chat", provider_id="mine", caller="search", tags=["team:search"])
        with describe_calls(session_id="s-1", caller="import", metadata={"job": 7}):
            await client.chat.completions.create(model="limited-1", messages=ASKED)
        await client.with_options(timeout=9).chat.completions.create(model="plain", messages=ASKED)
    first, second = rows_of(chainlog)
    assert (first["chain_name"], first["provider_id"], first["caller"]) == ("chat", "mine", "import")
    assert (first["session_id"], first["tags"], first["metadata"]) == ("s-1", '["team:search"]', {"job": 7})
    assert (second["chain_name"], second["caller"], second["session_id"]) == ("chat", "search", None)
    trail = first["attempt_trail"]
    assert isinstance(trail, list)
    assert [(each["provider_id"], each["model"]) for each in trail] == [("mine", "limited-1")] * 2


async def test_the_client_stays_what_it_is(chainlog: ChainLog, provider: StubProvider) -> None:
    """`watch` returns the object itself; copies are watched, once, and share its HTTP client."""
    async with watched(chainlog, provider) as client:
        assert chainlog.watch(client) is client
        assert type(client) is openai.AsyncOpenAI
        copy = client.copy(max_retries=7).with_options(timeout=3)
        assert (type(copy), copy.max_retries, copy.timeout) == (openai.AsyncOpenAI, 7, 3)
        await copy.chat.completions.create(model="plain", messages=ASKED)
        await client.chat.completions.create(model="plain", messages=ASKED)
    assert client.is_closed()
    assert len(rows_of(chainlog)) == 2


async def test_a_client_that_shares_the_connection_is_not_watched(chainlog: ChainLog, provider: StubProvider) -> None:
    """Only the SDK's client is watched, not everybody who sends with its HTTP client."""
    async with watched(chainlog, provider) as client:
        shared = client._client
        other = openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="x", http_client=shared)
        await other.chat.completions.create(model="plain", messages=ASKED)
        await shared.post(f"{provider.url}/v1/chat/completions", json={"model": "plain"})
    assert rows_of(chainlog) == []


async def test_azure(chainlog: ChainLog, provider: StubProvider) -> None:
    """A deployment of Azure's is the model."""
    async with chainlog, provider.serving():
        http_client = async_http_client()
        azure = openai.AsyncAzureOpenAI(
            azure_endpoint=provider.url, api_key="sk-secret", api_version="2025-01-01", http_client=http_client
        )
        async with chainlog.watch(azure) as client:
            await client.chat.completions.create(model="my-deployment", messages=ASKED)
    row = only_row(chainlog)
    assert (row["model"], row["prompt_tokens"]) == ("my-deployment", 20)


async def test_a_hundred_at_once(chainlog: ChainLog, provider: StubProvider) -> None:
    """Each call keeps its own attempts and its own description."""

    async def one(client: openai.AsyncOpenAI, number: int) -> None:
        model = f"limited-{number % 2}" if number < 4 else f"model-{number}"
        with describe_calls(session_id=f"s-{number}"):
            stream = await client.chat.completions.create(model=model, messages=ASKED, stream=True)
            async for _chunk in stream:
                pass

    async with watched(chainlog, provider) as client, anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(one, client, number)
    rows = rows_of(chainlog)
    assert {row["session_id"] for row in rows} == {f"s-{number}" for number in range(100)}
    assert all(row["model"] in ("limited-0", "limited-1", f"model-{str(row['session_id'])[2:]}") for row in rows)
    assert sum(int(str(row["attempts"])) for row in rows) == 101


async def test_synchronous_clients_in_threads(chainlog: ChainLog, provider: StubProvider) -> None:
    """The blocking client, plain, retrying, streaming and closed early, from several threads at once."""

    def ask() -> None:
        http_client = httpx2.Client(verify=False, trust_env=False)
        with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="sk-secret", http_client=http_client) as client:
            assert type(chainlog.watch(client)) is openai.OpenAI
            client.chat.completions.create(model="plain", messages=ASKED)
            for _chunk in client.chat.completions.create(model="plain", messages=ASKED, stream=True):
                pass
            with client.chat.completions.create(model="endless", messages=ASKED, stream=True) as stream:
                next(iter(stream))
            with pytest.raises(openai.RateLimitError):
                client.with_options(max_retries=0).chat.completions.create(model="limited-99", messages=ASKED)

    async with chainlog, provider.serving(), anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(to_thread.run_sync, ask)
    rows = rows_of(chainlog)
    assert sorted(int(str(row["http_status"])) for row in rows) == [200] * 8 + [429] * 4 + [499] * 4


async def test_a_log_that_fails_is_not_noticed(
    chainlog: ChainLog, provider: StubProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in the log, or a cost that fails, changes nothing for the program."""

    def fail(_entry: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(chainlog, "log_request", fail)
    async with watched(chainlog, provider) as client:
        answer = await client.chat.completions.create(model="plain", messages=ASKED)
    assert answer.id == "chatcmpl-1"
    assert "a call was not recorded: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("nothing", [object(), openai.AsyncOpenAI, None, "client"])
def test_what_is_no_client(make_settings: Callable[..., object], nothing: object) -> None:
    """A mistake is named when it is made; so is an option that there is not."""
    make_settings()
    log = ChainLog()
    with pytest.raises(TypeError, match="takes an SDK's client"):
        log.watch(nothing)
    with pytest.raises(TypeError, match="watch\\(\\) has no argument 'chain'"):
        log.watch(nothing, chain="x")  # type: ignore[call-arg]  # the mistake
