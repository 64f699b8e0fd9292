"""LiteLLM's Router over HTTP to a provider on this machine: retries and fallbacks never make more rows."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import litellm
import pytest
from litellm import Router

from .stub import ANSWER, Stub
from .support import MESSAGES, Logged, only_litellm_may_warn

pytestmark = only_litellm_may_warn


def _router(stub: Stub, *, retries: int = 0) -> Router:
    return Router(
        model_list=[
            stub.deployment("first", "limited"),
            stub.deployment("second", "failing"),
            stub.deployment("third", "ok"),
            stub.deployment("hopeless", "limited"),
            stub.deployment("echo", "echoing"),
            stub.deployment("cut", "cut", "groq/llama-3.1-8b-instant"),
        ],
        fallbacks=[{"first": ["second", "third"]}, {"hopeless": ["second"]}, {"cut": ["third"]}],
        num_retries=retries,
        disable_cooldowns=True,
    )


async def test_a_request_that_falls_over_is_one_row(stub: Stub, logged: Logged) -> None:
    """A 429, a 500 and an answer are one successful row with three tries, under the name of the first group."""
    await _router(stub).acompletion("first", messages=MESSAGES)
    (row,) = await logged.rows(answered=1)
    assert (row["chain_name"], row["http_status"], row["attempts"]) == ("first", 200, 3)
    assert row["statuses"] == [429, 500, 200]
    assert (row["total_tokens"], row["cached_tokens"]) == (12, 3)


async def test_a_stream_that_falls_over_is_one_row(stub: Stub, logged: Logged) -> None:
    """A streamed request that falls over is one row too; its answer is not kept either."""
    stream = await _router(stub).acompletion(
        "first", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    text = "".join([chunk.choices[0].delta.content or "" for chunk in [item async for item in stream] if chunk.choices])
    assert text == ANSWER.replace(" ", "")
    (row,) = await logged.rows(answered=1)
    assert (row["http_status"], row["attempts"], row["streamed"]) == (200, 3, 1)
    assert row["total_tokens"] == 12
    assert not any(word in str(row) for word in ("nobody", "keep"))


async def test_a_stream_that_ends_after_its_headers_falls_over(stub: Stub, logged: Logged) -> None:
    """LiteLLM reports the broken stream as if it were the fallback; it is a try of the provider that hung up."""
    stream = await _router(stub).acompletion("cut", messages=MESSAGES, stream=True)
    assert [item async for item in stream]
    (row,) = await logged.rows(answered=1)
    assert (row["chain_name"], row["provider_id"], row["attempts"]) == ("cut", "openai", 2)
    trail = json.loads(str(row["attempt_trail"]))
    assert [(attempt["provider_id"], attempt.get("http_status")) for attempt in trail] == [
        ("groq", None),
        ("openai", 200),
    ]


async def test_a_request_without_an_answer_is_one_failed_row(stub: Stub, logged: Logged) -> None:
    """When every try fails there is one failed row with all tries."""
    with pytest.raises(litellm.RateLimitError):
        await _router(stub).acompletion("hopeless", messages=MESSAGES)
    (row,) = await logged.rows(failed=1)
    assert (row["chain_name"], row["http_status"], row["attempts"]) == ("hopeless", 500, 2)
    assert row["statuses"] == [429, 500]


async def test_retries_are_tries_of_the_same_row(stub: Stub, logged: Logged) -> None:
    """Retries of a deployment, with LiteLLM's pauses between them, are tries of the one row."""
    await _router(stub, retries=1).acompletion("first", messages=MESSAGES)
    (row,) = await logged.rows(answered=1)
    assert row["statuses"] == [429, 429, 500, 500, 200]


async def test_requests_of_one_session_stay_apart(stub: Stub, logged: Logged) -> None:
    """Concurrent requests with one session id, some of them falling over, are a row each."""
    router = _router(stub)
    asked = ["first", "third", "hopeless"] * 5
    await asyncio.gather(
        *(router.acompletion(group, messages=MESSAGES, litellm_session_id="one") for group in asked),
        return_exceptions=True,
    )
    rows = await logged.rows(answered=10, failed=5)
    assert Counter((row["chain_name"], row["http_status"], row["attempts"]) for row in rows) == {
        ("first", 200, 3): 5,
        ("third", 200, 1): 5,
        ("hopeless", 500, 2): 5,
    }


async def test_a_provider_that_quotes_the_prompt_is_masked(stub: Stub, logged: Logged) -> None:
    """A provider's error message that quotes the prompt is kept without it."""
    with pytest.raises(litellm.BadRequestError):
        await _router(stub).acompletion("echo", messages=MESSAGES)
    (row,) = await logged.rows(failed=1)
    assert row["http_status"] == 400
    assert "not allowed: [content]" in str(row["error_message"])


def test_blocking_calls_fall_over_too(stub: Stub, logged: Logged) -> None:
    """The Router's blocking completion, whose tries run on loops of their own, is one row as well."""
    _router(stub).completion("first", messages=MESSAGES)
    (row,) = asyncio.run(logged.rows(answered=1))
    assert row["statuses"] == [429, 500, 200]


async def test_a_refused_connection_sent_no_status(logged: Logged) -> None:
    """A provider that is not there is a try without a status."""
    with Stub() as gone, Stub() as stub:
        gone_for_good = gone.deployment("first", "ok")
        stub_is_there = stub.deployment("second", "ok")
        gone.stop()
        router = Router(model_list=[gone_for_good, stub_is_there], fallbacks=[{"first": ["second"]}], num_retries=0)
        await router.acompletion("first", messages=MESSAGES)
    (row,) = await logged.rows(answered=1)
    assert row["statuses"] == [None, 200]
