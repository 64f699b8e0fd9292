"""Real traces, posted as a gateway's exporter would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.service import running, service_settings, settled
from tests.support.traces import (
    Totals,
    azure_entries,
    azure_totals,
    llmperf_entries,
    llmperf_totals,
    needs_azure,
    needs_llmperf,
)

FIELDS = ("totalRequests", "totalTokens", "totalPromptTokens", "totalCompletionTokens", "lastRequestTimestamp")


@pytest.mark.parametrize("as_lines", [False, True])
@pytest.mark.parametrize(
    ("entries", "totals"),
    [
        pytest.param(llmperf_entries, llmperf_totals, marks=needs_llmperf, id="llmperf"),
        pytest.param(azure_entries, azure_totals, marks=needs_azure, id="azure"),
    ],
)
async def test_posted_traces_give_the_files_own_totals(
    tmp_path: Path, entries: Callable[[], Iterator[dict[str, object]]], totals: Callable[[], Totals], *, as_lines: bool
) -> None:
    """A real trace sent as one array, or as NDJSON, is accepted whole and gives the sums of the file's columns."""
    sent = list(entries())
    body = b"\n".join(map(msgspec.json.encode, sent)) if as_lines else msgspec.json.encode(sent)
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=body)
        assert (reply.status_code, reply.json()) == (202, {"accepted": len(sent), "rejected": []})
        await settled(client)
        providers = (await client.get("/v1/stats/providers")).json()["providers"]
    assert {usage["providerId"]: tuple(usage[name] for name in FIELDS) for usage in providers} == totals()
