"""What the README shows works as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from chainlog_async import Settings

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


@pytest.mark.parametrize("key", [*Settings.model_fields, *(f"server.{key}" for key in ("host", "port", "api_keys"))])
def test_the_table_names_every_setting(key: str) -> None:
    """No setting is missing from the README's table."""
    table = README[README.index("| Key | Default |") : README.index("## Glossary")]
    assert f"`{key}`" in table or f"`.{key.removeprefix('server.')}`" in table or f"`{key}." in table


def test_the_defaults_in_the_example_are_the_readmes() -> None:
    """The numbers that the README gives are those of config.example.yaml."""
    values = yaml.safe_load((ROOT / "config.example.yaml").read_text("utf-8"))["settings"]
    assert "| `max_batch_size`, `flush_interval_ms` | 1000, 100 ms |" in README
    assert (values["max_batch_size"], values["flush_interval_ms"]) == (1000, 100)
