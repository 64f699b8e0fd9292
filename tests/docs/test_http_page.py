"""docs/reference/http.md: its examples work as they stand, and it leaves out no route."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import anyio
import pytest

from tests.support.openapi_document import DOCUMENT
from tests.support.service import entry, running, service_settings, settled

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "http.md").read_text("utf-8")
EXAMPLES = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
STREAM = "/v1/requests/stream"


@pytest.mark.parametrize("example", [example for example in EXAMPLES if STREAM not in example])
async def test_an_example_works(tmp_path: Path, example: str) -> None:
    """Each curl command, run as it is but for the port, is answered with a success."""
    async with running(service_settings(tmp_path, budgets=[{"name": "team-a", "limit_usd": 50}])) as client:
        await client.post("/v1/logs", json=entry(chain_name="default", provider_id="groq", session_id="thread-7"))
        await settled(client)
        command = example.replace("http://127.0.0.1:4290", str(client.base_url).rstrip("/"))
        command = command.replace("curl ", "curl --silent --fail --noproxy '*' ", 1)
        done = await anyio.run_process(["sh", "-c", command], cwd=tmp_path, check=False, stderr=subprocess.PIPE)
    assert done.returncode == 0, (example, done.stderr)


def test_no_route_is_left_out() -> None:
    """Every path of the OpenAPI document has an example, its name filled in, unless it takes a gzip file."""
    paths = DOCUMENT["paths"]
    assert isinstance(paths, dict)
    for path in paths:
        if path == "/v1/batches/{writer}/{start}/{end}":
            continue
        pattern = re.sub(r"\\{\w+\\}", r"[\\w-]+", re.escape(path))
        assert any(re.search(rf"127\.0\.0\.1:4290{pattern}(['? ]|$)", example) for example in EXAMPLES), path
