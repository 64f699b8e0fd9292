"""What the README shows works as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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
