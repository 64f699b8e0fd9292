"""A watched client of Anthropic's own SDK."""

from __future__ import annotations

import anthropic
import httpx2
import pytest
from anthropic.types import MessageParam
from anyio import to_thread

from chainlog_async import ChainLog
from tests.support.gateways import rows_in
from tests.support.stub_provider import StubProvider

ASKED: list[MessageParam] = [{"role": "user", "content": "a secret question"}]


async def test_messages(chainlog: ChainLog, provider: StubProvider) -> None:
    """Plain, streamed both ways, and after a 429: a row each, with the tokens and Anthropic's ids."""
    async with chainlog, provider.serving(), httpx2.AsyncClient(verify=False, trust_env=False) as http_client:
        client = chainlog.watch(
            anthropic.AsyncAnthropic(base_url=provider.url, api_key="sk-secret", http_client=http_client)
        )
        assert type(client) is anthropic.AsyncAnthropic
        answer = await client.messages.create(model="plain", max_tokens=9, messages=ASKED)
        async for _event in await client.messages.create(model="plain", max_tokens=9, messages=ASKED, stream=True):
            pass
        async with client.messages.stream(model="plain", max_tokens=9, messages=ASKED) as stream:
            text = await stream.get_final_text()
        await client.with_options(max_retries=1).messages.create(model="limited-1", max_tokens=9, messages=ASKED)
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(model="refused", max_tokens=9, messages=ASKED)
    rows = rows_in(chainlog.settings.db_path)
    assert answer.usage.output_tokens == 7
    assert text == "secret"
    assert [(row["http_status"], row["attempts"], row["streamed"], row["completion_tokens"]) for row in rows] == [
        (200, 1, 0, 7),
        (200, 1, 1, 7),
        (200, 1, 1, 7),
        (200, 2, 0, 7),
        (401, 1, 0, 0),
    ]
    assert {row["finish_reason"] for row in rows[:4]} == {"end_turn"}
    assert rows[0]["response_id"] == "msg_1"
    assert "secret" not in str(rows)


async def test_the_synchronous_client(chainlog: ChainLog, provider: StubProvider) -> None:
    """The blocking client, from a thread, plain and streamed."""

    def ask() -> None:
        with httpx2.Client(verify=False, trust_env=False) as http_client:
            client = chainlog.watch(
                anthropic.Anthropic(base_url=provider.url, api_key="sk-secret", http_client=http_client)
            )
            client.messages.create(model="plain", max_tokens=9, messages=ASKED)
            with client.messages.stream(model="plain", max_tokens=9, messages=ASKED) as stream:
                stream.until_done()

    async with chainlog, provider.serving():
        await to_thread.run_sync(ask)
    rows = rows_in(chainlog.settings.db_path)
    assert [(row["http_status"], row["prompt_tokens"], row["completion_tokens"]) for row in rows] == [(200, 20, 7)] * 2
