"""LiteLLM's SDK, with mocked answers: every way to call it is a row."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import litellm
import pytest
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from benchmarks.harness.common import environment

from .stub import Stub
from .support import MESSAGES, Logged, only_litellm_may_warn, rows_of, until

pytestmark = only_litellm_may_warn


async def test_a_completion_is_a_row(logged: Logged) -> None:
    """An answer has its provider, model, tokens, cost and caller."""
    await litellm.acompletion("gpt-4o-mini", messages=MESSAGES, mock_response="Of course.", user="alice")
    (row,) = await logged.rows(answered=1)
    assert (row["provider_id"], row["model"], row["http_status"]) == ("openai", "gpt-4o-mini", 200)
    assert (row["caller"], row["streamed"], row["attempts"]) == ("alice", 0, 1)
    assert row["total_tokens"] == 30
    assert isinstance(row["cost_usd"], float)
    assert row["cost_usd"] > 0


async def test_a_stream_is_a_row_at_its_end(logged: Logged) -> None:
    """A stream is one row with the time to its first token and the time to its last."""
    stream = await litellm.acompletion("gpt-4o-mini", messages=MESSAGES, mock_response="a b c", stream=True)
    async for _ in stream:
        pass
    (row,) = await logged.rows(answered=1)
    assert row["streamed"] == 1
    assert isinstance(row["ttft_ms"], int)
    assert isinstance(row["latency_ms"], int)
    assert row["ttft_ms"] <= row["latency_ms"]


async def test_a_failure_is_a_row(logged: Logged) -> None:
    """A failed call is one row with its status and message, though the SDK reports it several times."""
    with pytest.raises(litellm.RateLimitError):
        await litellm.acompletion("gpt-4o-mini", messages=MESSAGES, mock_response="litellm.RateLimitError")
    (row,) = await logged.rows(failed=1)
    assert (row["http_status"], row["attempts"]) == (429, 1)
    assert "mock rate limit" in str(row["error_message"])


async def test_a_litellm_error_that_quotes_the_prompt_is_masked(logged: Logged) -> None:
    """LiteLLM's own check quotes a message that it does not understand; the quote is not kept."""
    message = {"role": "nobody", "content": MESSAGES[0]["content"]}
    error = litellm.BadRequestError(f"Invalid message={message}", model="gpt-4o-mini", llm_provider="openai")
    with pytest.raises(litellm.BadRequestError):
        await litellm.acompletion("gpt-4o-mini", messages=[message], mock_response=error)
    (row,) = await logged.rows(failed=1)
    assert "[content]" in str(row["error_message"])


async def test_other_callbacks_in_the_list_go_on(logged: Logged) -> None:
    """In LiteLLM's shared list there may be others, before it and after it; each of them is called as ever."""
    reported: list[str] = []

    async def before(*_event: object) -> None:
        reported.append("before")

    async def after(*_event: object) -> None:
        reported.append("after")

    litellm.callbacks = [before, *litellm.callbacks, after]
    await litellm.acompletion("gpt-4o-mini", messages=MESSAGES, mock_response="Of course.")
    assert len(await logged.rows(answered=1)) == 1
    assert reported == ["before", "after"]


async def test_other_kinds_of_calls_are_rows(logged: Logged) -> None:
    """Embeddings and text completions are logged like chats."""
    await litellm.aembedding("text-embedding-3-small", input=[MESSAGES[0]["content"]], mock_response=[[0.1]])
    await litellm.atext_completion(model="gpt-3.5-turbo-instruct", prompt=MESSAGES[0]["content"], mock_response="x")
    rows = await logged.rows(answered=2)
    assert sorted(str(row["model"]) for row in rows) == ["gpt-3.5-turbo-instruct", "text-embedding-3-small"]


@pytest.mark.parametrize(
    ("logged", "statuses"), [({}, [200]), ({"litellm_health_checks": True}, [200, 200, 429])], indirect=["logged"]
)
async def test_litellms_own_checks_are_logged_if_the_settings_say_so(
    stub: Stub, logged: Logged, statuses: list[int]
) -> None:
    """A check, healthy or not, is a row with a mark when it is asked for, and none otherwise."""
    # LiteLLM only knows of its callbacks once it was called.
    await litellm.acompletion("gpt-4o-mini", messages=MESSAGES, mock_response="x")
    for behaviour in ("ok", "limited"):
        parameters = stub.deployment("any", behaviour)["litellm_params"]
        assert isinstance(parameters, dict)
        await litellm.ahealth_check({**parameters, "messages": MESSAGES}, mode="chat")
    rows = await logged.rows(answered=len(statuses))
    assert sorted(row["http_status"] for row in rows) == statuses  # type: ignore[type-var]  # they are all whole numbers
    checks = [row for row in rows if row["caller"] == "litellm-internal-health-check"]
    assert [json.loads(str(row["metadata"]))["health_check"] for row in checks] == [True] * (len(statuses) - 1)


@pytest.mark.parametrize("correlates", [False, True])
async def test_the_id_of_a_session_is_kept(logged: Logged, correlates: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM gives it as the trace id, or, with its `request_correlation_in_logs`, as the session id."""
    monkeypatch.setattr(litellm, "request_correlation_in_logs", correlates)
    await litellm.acompletion("gpt-4o-mini", messages=MESSAGES, mock_response="x", metadata={"session_id": "session-1"})
    (row,) = await logged.rows(answered=1)
    kept = json.loads(str(row["metadata"]))
    assert kept["session_id" if correlates else "trace_id"] == "session-1"


async def test_an_answer_of_the_cache_is_no_attempt(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the SDK as with the proxy: LiteLLM answers itself, which costs nothing."""
    cache = litellm.Cache(type="local")
    monkeypatch.setattr(litellm, "cache", cache)
    for _ in range(2):
        await litellm.acompletion("gpt-4o-mini", messages=MESSAGES, mock_response="x", caching=True)
        # LiteLLM stores the answer in a task of its own.
        await asyncio.to_thread(until, lambda: cache.cache.cache_dict)
    asked, cached = await logged.rows(answered=2)
    assert (asked["attempts"], cached["attempts"]) == (1, 0)
    assert (cached["cost_usd"], cached["cached_tokens"]) == (0.0, cached["prompt_tokens"])


def test_calls_without_an_event_loop_and_on_several(logged: Logged) -> None:
    """Blocking calls in threads and async calls on loops of their own all reach the one log."""

    def blocking() -> None:
        for _ in range(5):
            litellm.completion("gpt-4o-mini", messages=MESSAGES, mock_response="x")

    async def on_a_loop() -> None:
        for _ in range(5):
            await litellm.acompletion("gpt-4o-mini", messages=MESSAGES, mock_response="x")
        # LiteLLM itself loses callbacks that an ending loop cuts off.
        await GLOBAL_LOGGING_WORKER.flush()

    threads = [threading.Thread(target=blocking) for _ in range(3)]
    for thread in threads:
        thread.start()
    asyncio.run(on_a_loop())
    asyncio.run(on_a_loop())
    for thread in threads:
        thread.join()
    assert len(asyncio.run(logged.rows(answered=25))) == 25


PROGRAM = """
import asyncio, sys
import litellm
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
from chainlog_async.integrations.litellm import handler
litellm.callbacks = [handler]
messages = [{"role": "user", "content": "hello"}]
async def main():
    await litellm.acompletion("gpt-4o-mini", messages=messages, mock_response="x")
    try:
        await litellm.acompletion("gpt-4o-mini", messages=messages, mock_response="litellm.RateLimitError")
    except litellm.RateLimitError:
        pass
    # LiteLLM itself loses callbacks that an ending loop cuts off.
    await GLOBAL_LOGGING_WORKER.flush()
asyncio.run(main())
litellm.completion("gpt-4o-mini", messages=messages, mock_response="x")
"""


FORKING = """
import asyncio, os
import litellm
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
from chainlog_async.integrations.litellm import handler
litellm.callbacks = [handler]
async def main():
    messages = [{"role": "user", "content": "hello"}]
    await litellm.acompletion("gpt-4o-mini", messages=messages, mock_response="x")
    await GLOBAL_LOGGING_WORKER.flush()
child = os.fork()
asyncio.run(main())
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize(("program", "statuses"), [(PROGRAM, [200, 200, 429]), (FORKING, [200, 200])])
def test_a_program_that_just_ends_loses_nothing(tmp_path: Path, program: str, statuses: list[int]) -> None:
    """The end of a process, or of two that were forked, waits for callbacks and tries, and leaves a clean file."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**environment(), "CHAINLOG_DB_PATH": str(tmp_path / "o.db")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr
    assert sorted(row["http_status"] for row in rows_of(tmp_path / "o.db")) == statuses  # type: ignore[type-var]  # they are all whole numbers
    assert not list((tmp_path / "o.db.journal").iterdir())
    assert not (tmp_path / "o.db-wal").exists()
