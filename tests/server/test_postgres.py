"""The service on PostgreSQL answers every question as the service on a SQLite file does."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from tests.storage.random_log import END, START, random_entries
from tests.support.service import entry, running, service_settings, settled
from tests.support.two_engines import fold, store_in_each

WINDOW = f"from={START}&until={END}"
QUESTIONS = [
    "/v1/stats/summary",
    "/v1/stats/providers",
    "/v1/stats/providers/p1",
    "/v1/stats/providers/nobody",
    "/v1/stats/chains",
    "/v1/stats/chains/c0",
    "/v1/stats/requests?limit=20",
    "/v1/names",
    f"/v1/usage?{WINDOW}&step=1d&tz=Europe/Berlin&by=model",
    f"/v1/usage?{WINDOW}&step=6h&tz=America/New_York&caller=team-1&fill=true",
    f"/v1/latency?{WINDOW}&step=12h&by=provider",
    f"/v1/latency?{WINDOW}&by=caller&outcome=all",
    f"/v1/providers/health?{WINDOW}",
    "/v1/requests?limit=15",
    "/v1/requests?status=errors&limit=15",
    "/v1/requests?error=SLOW&caller=team-0",
    "/v1/requests/3",
    "/v1/requests/999999",
    f"/v1/requests/export?format=jsonl&from={START}",
    "/v1/requests?limit=0",
    "/v1/requests?cursor=nonsense",
    f"/v1/usage?from={END}&until={START}",
]


@pytest.mark.parametrize("folded", [0, 3, None])
async def test_every_route_answers_the_same(folded: int | None, postgres_url: str, tmp_path: Path) -> None:
    """Whether nothing, a part or all of it is in the totals yet: status, body and pages are those of SQLite."""
    logs = (service_settings(tmp_path), service_settings(tmp_path, db_url=postgres_url))
    await store_in_each(logs, random_entries(200, seed=5))
    if folded != 0:
        await fold(postgres_url, batches=folded)
    async with running(logs[0]) as of_file, running(logs[1]) as of_server:
        for question in QUESTIONS:
            expected, found = await of_file.get(question), await of_server.get(question)
            assert found.status_code == expected.status_code, question
            assert _values(found.text) == pytest.approx(_values(expected.text)), question
        assert await _counters(of_server) == await _counters(of_file)


async def test_what_is_logged_is_streamed_and_counted(postgres_url: str, tmp_path: Path) -> None:
    """Entries that the service takes come to whoever follows, in order, and are in the totals at once."""
    async with running(service_settings(tmp_path, db_url=postgres_url, flush_interval_ms=10)) as client:
        seen: list[str] = []
        async with client.stream("GET", "/v1/requests/stream") as stream:
            lines = stream.aiter_lines()
            entries = [entry(model=f"m{number}") for number in range(30)]
            assert (await client.post("/v1/logs", json=entries)).status_code == 202
            with anyio.fail_after(30):
                async for line in lines:
                    if line.startswith("data: {"):
                        seen.append(json.loads(line.removeprefix("data: "))["model"])
                    if len(seen) == len(entries):
                        break
        assert seen == [one["model"] for one in entries]
        assert (await settled(client))["written"] == 30
        assert (await client.get("/v1/stats/summary")).json()["summary"]["totalRequests"] == 30


def _values(body: str) -> object:
    """Numbers and texts of a body, JSON or JSON lines, as one flat dictionary."""
    found: dict[str, object] = {}

    def add(place: str, value: object) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                add(f"{place}.{name}", one)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                add(f"{place}.{number}", one)
        else:
            found[place] = value

    for number, line in enumerate(body.splitlines()):
        add(str(number), json.loads(line))
    return found


async def _counters(client: object) -> set[str]:
    text = (await client.get("/metrics")).text  # type: ignore[attr-defined]  # httpx
    ours = ("chainlog_requests", "chainlog_prompt_tokens", "chainlog_attempts", "chainlog_request_")
    return {line for line in text.splitlines() if line.startswith(ours)}
