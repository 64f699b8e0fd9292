"""What Vector and Fluent Bit send, configured as docs/how-to/senders.md says, is logged once."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.support.service import entry, running, service_settings, settled

from .blocks import ROOT

PAGE = ROOT / "docs" / "how-to" / "senders.md"
LINES = [entry(entry_id=f"id-{number}", model=f"m{number}") for number in range(3)]
BODY = "".join(f"{json.dumps(one)}\n" for one in LINES)


def config(name: str) -> str:
    """The configuration below that name."""
    found = re.search(rf"^{name} .*?```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_configurations_name_the_route() -> None:
    """Both are YAML, and send to where the service takes entries by default, with its key."""
    vector, fluent_bit = (yaml.safe_load(config(name)) for name in ("Vector", "Fluent Bit"))
    sink = vector["sinks"]["chainlog"]
    assert sink["uri"] == "http://127.0.0.1:4290/v1/logs"
    (output,) = fluent_bit["pipeline"]["outputs"]
    assert f"http://{output['host']}:{output['port']}{output['uri']}" == sink["uri"]
    assert (output["format"], sink["framing"]["method"]) == ("json_lines", "newline_delimited")
    assert output["header"].startswith("Authorization Bearer ")


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json"])
async def test_what_they_send_counts_once(tmp_path: Path, content_type: str) -> None:
    """Vector says that it sends NDJSON, Fluent Bit that it is JSON; a batch that comes again is not counted again."""
    headers = {"content-type": content_type, "content-encoding": "gzip"}
    async with running(service_settings(tmp_path)) as client:
        for body in (BODY, BODY, BODY + '{"level": "info"}\n'):
            reply = await client.post("/v1/logs", content=gzip.compress(body.encode()), headers=headers)
            assert reply.status_code == 202, reply.text
        (refused,) = reply.json()["rejected"]
        assert refused["index"] == 3
        assert (await settled(client))["written"] == 3
        assert len((await client.get("/v1/requests")).json()["requests"]) == 3


async def test_lines_that_are_no_entries_do_not_come_again(tmp_path: Path) -> None:
    """Both drop what gets 400; 408, 429 and 5xx they would repeat without end."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post(
            "/v1/logs", content=b'{"level": "info"}\n', headers={"content-type": "application/json"}
        )
        assert reply.status_code == 400
