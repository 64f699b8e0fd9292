"""Each call of an instrumented program is one row with the right tokens, and without a word of its prompt."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.service_process import Output, process
from tests.with_otel.program import PROMPT
from tests.with_otel.stub import ANSWER, FAILING, FLAKY, LIMITED, provider

COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")

OPENAI = ["opentelemetry.instrumentation.genai.openai", "openinference.instrumentation.openai"]
ANTHROPIC = [
    "opentelemetry.instrumentation.genai.anthropic",
    "openinference.instrumentation.anthropic",
    "opentelemetry.instrumentation.anthropic",
]


async def rows_of(folder: Path, module: str) -> dict[str, dict[str, Any]]:
    """What the service has stored of the calls of a program, by model; each was one row."""
    db_path = folder / "log.db"
    env = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    async with process(db_path) as service:
        url = (await Output(service).line()).split()[0]
        with provider() as provider_url:
            command = [sys.executable, "-m", "tests.with_otel.program", module, provider_url]
            env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "my-program"}
            done = await anyio.run_process(command, env=env, check=False, stderr=subprocess.STDOUT)
            assert done.returncode == 0, done.stdout.decode()
        assert not await anyio.to_thread.run_sync(files_with, folder, PROMPT, ANSWER)
        # Whatever waits for its parent is logged before it ends.
        service.terminate()
        assert await service.wait() == 0
    assert not await anyio.to_thread.run_sync(files_with, folder, PROMPT, ANSWER)
    with closing(sqlite3.connect(db_path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM request_logs ORDER BY id")]
    assert len({row["model"] for row in rows}) == len(rows), [(row["model"], row["metadata"]) for row in rows]
    return {row["model"]: row for row in rows}


def files_with(folder: Path, *texts: str) -> list[Path]:
    """Files in the folder that hold one of the texts, or a word of them that is in nothing else."""
    words = [word.encode() for text in texts for word in text.split() if len(word) > 5]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(word in path.read_bytes() for word in words)]


def counts(row: dict[str, Any]) -> dict[str, int]:
    """The tokens that the row has."""
    return {name: row[name] for name in COUNTS if row[name]}


def is_subset(some: dict[str, int], of: dict[str, int]) -> bool:
    """Whether what is told is right, although an emitter may tell less."""
    return some.items() <= of.items()


@pytest.mark.parametrize("module", OPENAI)
async def test_calls_of_openai(tmp_path: Path, module: str) -> None:
    """Answered, streamed, embedded, answered after a retry, refused, failed."""
    rows = await rows_of(tmp_path, module)
    all_tokens = {"prompt_tokens": 2_006, "completion_tokens": 300, "cached_tokens": 1_920, "reasoning_tokens": 128}
    assert set(rows) == {"gpt-5-mini", "gpt-stream", "text-embedding-3-small", FLAKY, LIMITED, FAILING}
    for model in ("gpt-5-mini", "gpt-stream", FLAKY):
        assert rows[model]["http_status"] == 200
        assert (rows[model]["prompt_tokens"], rows[model]["completion_tokens"]) == (2_006, 300), model
        assert is_subset(counts(rows[model]), all_tokens)
    assert counts(rows["gpt-5-mini"]) == all_tokens
    embedding = rows["text-embedding-3-small"]
    assert (embedding["prompt_tokens"], embedding["completion_tokens"]) == (8, 0)
    assert (rows[LIMITED]["http_status"], rows[FAILING]["http_status"]) == (429, 500)
    assert {(row["chain_name"], row["provider_id"]) for row in rows.values()} == {("my-program", "openai")}
    assert all(json.loads(row["metadata"])["otel_scope"] for row in rows.values())


@pytest.mark.parametrize("module", ANTHROPIC)
async def test_calls_of_anthropic(tmp_path: Path, module: str) -> None:
    """The SDK sends a span of its own beside that of the instrumentation: still one row."""
    rows = await rows_of(tmp_path, module)
    all_tokens = {
        "prompt_tokens": 2_006,
        "completion_tokens": 300,
        "cached_tokens": 920,
        "cache_write_tokens": 1_000,
    }
    assert set(rows) == {"claude-sonnet-4-5", "claude-stream", FLAKY, LIMITED, FAILING}
    for model in ("claude-sonnet-4-5", "claude-stream", FLAKY):
        assert (rows[model]["http_status"], counts(rows[model])) == (200, all_tokens), model
    assert (rows[LIMITED]["http_status"], rows[FAILING]["http_status"]) == (429, 500)
    assert [rows[model]["attempts"] for model in ("claude-sonnet-4-5", FLAKY, LIMITED, FAILING)] == [1, 2, 2, 2]
    assert {(row["chain_name"], row["provider_id"]) for row in rows.values()} == {("my-program", "anthropic")}
