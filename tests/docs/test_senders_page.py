"""docs/how-to/senders.md: its command works as it stands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio

from tests.support.service import count_rows, running, service_settings, settled

from .blocks import ROOT, blocks_of


async def test_the_command_is_counted_once(tmp_path: Path) -> None:
    """Run twice, it leaves its two entries once."""
    block, *_ = blocks_of(ROOT / "docs" / "how-to" / "senders.md")
    async with running(service_settings(tmp_path)) as client:
        command = block.text.replace("http://127.0.0.1:4290", str(client.base_url).rstrip("/"))
        command = command.replace("curl ", "curl --silent --fail --noproxy '*' ", 1)
        for _ in range(2):
            done = await anyio.run_process(["sh", "-c", command], check=False, stderr=subprocess.PIPE)
            assert done.returncode == 0, done.stderr
        await settled(client)
    assert count_rows(tmp_path / "log.db") == 2
