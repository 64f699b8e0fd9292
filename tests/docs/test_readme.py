"""What the README shows works as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import anyio

from tests.support.service import running, service_settings, settled

from .blocks import ROOT, blocks_of

README = (ROOT / "README.md").read_text("utf-8")


def test_the_example_for_a_gateway_runs(tmp_path: Path) -> None:
    """The block under "Embed it", copied into a file, logs a request and prints the usage."""
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "gateway.py").write_text(block, "utf-8")
    done = subprocess.run(
        [sys.executable, "gateway.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "provider_id='groq', total_requests=1, total_tokens=155" in done.stdout


async def test_the_first_commands_log_a_request_and_show_it(tmp_path: Path) -> None:
    """The block beside `make run`, unchanged but for the port, in the folder of the service."""
    (block,) = [one for one in blocks_of(ROOT / "README.md") if "curl" in one.text]
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    async with running(service_settings(tmp_path / "data", db_path=tmp_path / "data" / "observability.db")) as client:
        text = block.text.replace("http://127.0.0.1:4290", str(client.base_url).rstrip("/"))
        text = text.replace("curl ", "curl --silent --fail --noproxy '*' ")
        asking, showing = text.split(".venv/bin/chainlog")
        asked = await anyio.run_process(["bash", "-ec", asking], cwd=tmp_path)
        assert b'"accepted":1' in asked.stdout
        await settled(client)
        shown = await anyio.run_process(["bash", "-ec", f".venv/bin/chainlog{showing}"], cwd=tmp_path)
    assert b"groq" in shown.stdout
