"""docs/how-to/opentelemetry.md: its examples work as they stand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import anyio
import pytest

from chainlog_async import ChainLog
from chainlog_async.server import create_app
from tests.support.service import count_rows, service_settings, serving

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "opentelemetry.md").read_text("utf-8")
EXAMPLES = re.findall(r"^curl .*?'$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
async def test_an_example_is_one_request(tmp_path: Path, example: str) -> None:
    """Each curl command, run as it is but for the port, becomes a row of the log."""
    async with serving(create_app(ChainLog(service_settings(tmp_path)))) as client:
        command = example.replace("http://127.0.0.1:4290", str(client.base_url).rstrip("/"))
        command = command.replace("curl ", "curl --silent --fail --noproxy '*' ", 1)
        done = await anyio.run_process(["sh", "-c", command], cwd=tmp_path, check=False, stderr=subprocess.PIPE)
        assert (done.returncode, done.stdout) == (0, b"{}"), done.stderr
    assert count_rows(tmp_path / "log.db") == 1


def test_there_are_examples() -> None:
    """One of a span and one of an event of Claude Code."""
    assert len(EXAMPLES) == 2
