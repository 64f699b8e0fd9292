"""docs/how-to/watch.md: its programs run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import anyio

from tests.support.gateways import rows_in
from tests.support.stub_provider import StubProvider

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "watch.md").read_text("utf-8")
PROGRAM, DESCRIBING, SCRIPT = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


async def run(code: str, folder: Path) -> str:
    """What a program prints that asks a provider on loopback; it has to end well."""
    provider = StubProvider()
    async with provider.serving():
        env = {**os.environ, "OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": f"{provider.url}/v1"}
        done = await anyio.run_process(
            [sys.executable, "-W", "error", "-c", code],
            cwd=folder,
            env={**env, "PYTHONPATH": str(ROOT), "NO_PROXY": "*"},
            check=False,
            stderr=subprocess.STDOUT,
        )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


async def test_the_example_logs_its_calls(tmp_path: Path) -> None:
    """The page shows the example as it is, which prints its usage and leaves two rows."""
    assert (ROOT / "examples" / "watched_client.py").read_text("utf-8") == PROGRAM
    assert "chain_name='examples', total_requests=2, total_tokens=54" in await run(PROGRAM, tmp_path)
    rows = rows_in(tmp_path / "data" / "observability.db")
    assert [(row["caller"], row["session_id"], row["streamed"]) for row in rows] == [
        ("watched_client", "conversation-1", 0),
        ("watched_client", "conversation-1", 1),
    ]
    assert "secret" not in str(rows)


async def test_a_script_without_an_event_loop(tmp_path: Path) -> None:
    """The calls of a blocking client are in the database when the process has ended."""
    await run(SCRIPT, tmp_path)
    (row,) = rows_in(tmp_path / "data" / "observability.db")
    assert (row["chain_name"], row["model"], row["completion_tokens"]) == ("script", "gpt-4o-mini", 7)


def test_the_block_that_describes_calls_runs() -> None:
    """It needs no log."""
    exec(DESCRIBING, {})
