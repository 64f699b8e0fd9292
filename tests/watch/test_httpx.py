"""Watched clients of httpx and httpx2, without an SDK."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
from anyio import to_thread

from chainlog_async import ChainLog
from tests.support.gateways import Row, rows_in
from tests.support.stub_provider import StubProvider

MODULES = pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
OPTIONS: dict[str, Any] = {"verify": False, "trust_env": False}


def asked(model: str, *, stream: bool = False) -> dict[str, object]:
    """The body of a request."""
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "a secret question"}]}


def rows_of(chainlog: ChainLog) -> list[Row]:
    """The rows of a log that is closed."""
    rows = rows_in(chainlog.settings.db_path)
    assert "secret" not in str(rows)
    return rows


@MODULES
async def test_calls(chainlog: ChainLog, provider: StubProvider, module: ModuleType) -> None:
    """Each POST to the path of a model is a row, with the model of the body; nothing else is."""
    async with chainlog, provider.serving(), module.AsyncClient(base_url=provider.url, **OPTIONS) as client:
        assert chainlog.watch(client) is client
        await client.post("/v1/chat/completions", json=asked("gzip"))
        async with client.stream("POST", "/v1/chat/completions", json=asked("plain", stream=True)) as response:
            lines = [line async for line in response.aiter_lines()]
        await client.post("/v1/chat/completions", json=asked("limited-1"))
        await client.post("/v1/chat/completions", json=asked("redirected"), follow_redirects=True)
        await client.get("/v1/models")
        await client.post("/v1/files", json={})
        await client.post("/v1/threads/7/messages", json={})
    rows = rows_of(chainlog)
    assert lines[-2] == "data: [DONE]"
    assert response.elapsed.total_seconds() > 0
    assert [(row["model"], row["http_status"], row["completion_tokens"], row["streamed"]) for row in rows] == [
        ("gzip", 200, 7, 0),
        ("plain", 200, 7, 1),
        ("limited-1", 429, 0, 0),
        ("redirected", 200, 7, 0),
    ]


@MODULES
async def test_the_synchronous_client(chainlog: ChainLog, provider: StubProvider, module: ModuleType) -> None:
    """The blocking client, from a thread: read, streamed as it comes, closed early and timed out."""

    def ask() -> None:
        with chainlog.watch(module.Client(base_url=provider.url, **OPTIONS)) as client:
            client.post("/v1/chat/completions", json=asked("plain"))
            with client.stream("POST", "/v1/chat/completions", json=asked("plain", stream=True)) as response:
                assert b"".join(response.iter_raw()).endswith(b"data: [DONE]\n\n")
            with client.stream("POST", "/v1/chat/completions", json=asked("endless", stream=True)) as response:
                next(response.iter_bytes())
            with pytest.raises(module.ReadTimeout):
                client.post("/v1/chat/completions", json=asked("slow"), timeout=0.1)

    async with chainlog, provider.serving():
        await to_thread.run_sync(ask)
    rows = rows_of(chainlog)
    assert [(row["http_status"], row["completion_tokens"]) for row in rows] == [(200, 7), (200, 7), (499, 0), (504, 0)]


async def test_a_response_that_nobody_closes(chainlog: ChainLog, provider: StubProvider) -> None:
    """A response that is forgotten is a row too, as soon as Python clears it away."""
    async with chainlog, provider.serving(), httpx2.AsyncClient(**OPTIONS) as client:
        chainlog.watch(client)
        request = client.build_request("POST", f"{provider.url}/v1/chat/completions", json=asked("plain", stream=True))
        response = await client.send(request, stream=True)
        del response
        gc.collect()
        assert chainlog.statistics().submitted == 1
    (row,) = rows_of(chainlog)
    assert (row["http_status"], row["model"]) == (499, "plain")


async def test_other_paths(chainlog: ChainLog, provider: StubProvider) -> None:
    """`paths` says what is logged instead; a body that is streamed is not read, so that the answer tells the model."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"model": "hidden"}'

    async with chainlog, provider.serving(), httpx2.AsyncClient(base_url=provider.url, **OPTIONS) as client:
        chainlog.watch(client, paths=["/ask"])
        await client.post("/ask", content=body(), headers={"content-type": "application/json"})
        await client.post("/v1/chat/completions", json=asked("plain"))
    (row,) = rows_of(chainlog)
    assert row["model"] == "hidden"
