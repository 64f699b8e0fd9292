"""LiteLLM's own `generic_api` callback, which posts to the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import litellm
import pytest
from litellm import Router
from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from chainlog_async import ChainLog
from chainlog_async.server import create_app
from tests.support.service import KEY, service_settings, serving

from .stub import Stub
from .support import MESSAGES, Row, only_litellm_may_warn, rows_of

pytestmark = only_litellm_may_warn


@asynccontextmanager
async def posting(url: str, log_format: str) -> AsyncIterator[None]:
    """LiteLLM posts what it logs to this address, at the latest at the end of the block."""
    callback = GenericAPILogger(
        endpoint=f"{url}/v1/logs/litellm",
        headers={"Authorization": f"Bearer {KEY}"},
        log_format=log_format,
        flush_interval=3_600,
    )
    before = asyncio.all_tasks()
    litellm.callbacks = [callback]
    try:
        yield
        await GLOBAL_LOGGING_WORKER.flush()
        await callback.async_send_batch()
    finally:
        litellm.logging_callback_manager._reset_all_callbacks()
        # Its own, which goes on for ever.
        for task in before:
            if "periodic_flush" in repr(task.get_coro()):
                task.cancel()


@pytest.mark.parametrize("log_format", ["json_array", "ndjson", "single"])
async def test_each_request_is_one_row(tmp_path: Path, stub: Stub, log_format: str) -> None:
    """With its attempts and tokens, in every format, and no word of a prompt."""
    router = Router(
        model_list=[
            stub.deployment("fast", "limited"),
            stub.deployment("steady", "answering"),
            stub.deployment("broken", "failing"),
        ],
        num_retries=0,
        fallbacks=[{"fast": ["steady"]}],
    )
    settings = service_settings(tmp_path, server={"api_keys": [{"key": KEY, "can": "write"}]})
    async with (
        serving(create_app(ChainLog(settings))) as client,
        posting(str(client.base_url).rstrip("/"), log_format),
    ):
        await router.acompletion("steady", messages=MESSAGES)
        await router.acompletion("fast", messages=MESSAGES)
        async for _ in await router.acompletion("steady", messages=MESSAGES, stream=True):
            pass
        with pytest.raises(litellm.InternalServerError):
            await router.acompletion("broken", messages=MESSAGES)
    rows: list[Row] = rows_of(tmp_path / "log.db")
    assert [(row["chain_name"], row["http_status"], row["attempts"], row["statuses"]) for row in rows] == [
        ("steady", 200, 1, None),
        ("fast", 200, 2, [429, 200]),
        ("steady", 200, 1, None),
        ("broken", 500, 1, None),
    ]
    assert [row["prompt_tokens"] for row in rows] == [7, 7, 7, 0]
    assert [bool(row["streamed"]) for row in rows] == [False, False, True, False]
