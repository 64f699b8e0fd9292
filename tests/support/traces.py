"""Two public traces of real LLM requests as entries, and the totals that a few lines of Python make of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LLMPERF = DATA / "llmperf_leaderboard_2845.jsonl"
AZURE = DATA / "AzureLLMInferenceTrace_code.csv"

Totals = dict[str, tuple[int, int, int, int, int]]
"""By provider: requests, tokens, prompt tokens, completion tokens, last timestamp in ms."""

needs_llmperf = pytest.mark.skipif(not LLMPERF.exists(), reason=f"{LLMPERF.name} is not in ../shared/data")
needs_azure = pytest.mark.skipif(not AZURE.exists(), reason=f"{AZURE.name} is not in ../shared/data")


def llmperf_entries() -> Iterator[dict[str, object]]:
    """The 2,845 requests of the LLMPerf leaderboard as entries in JSON's terms."""
    with LLMPERF.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            code = row["error_code"]
            yield {
                "timestamp": row["run_timestamp"] * 1000,
                "chain_name": "llmperf",
                "provider_id": row["provider"],
                "model": row["model"],
                "prompt_tokens": row["number_input_tokens"] or 0,
                "completion_tokens": row["number_output_tokens"] or 0,
                "total_tokens": row["number_total_tokens"],
                "latency_ms": (row["end_to_end_latency_s"] or 0) * 1000,
                "http_status": 200 if code is None else code if 100 <= code <= 599 else 500,
                "error_message": row["error_msg"] or None,
            }


def llmperf_totals() -> Totals:
    """The totals of that file, summed straight from its own columns."""
    totals: Totals = {}
    for line in LLMPERF.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        requests, tokens, prompt, completion, last = totals.get(row["provider"], (0, 0, 0, 0, 0))
        totals[row["provider"]] = (
            requests + 1,
            tokens + row["number_total_tokens"],
            prompt + row["number_input_tokens"],
            completion + row["number_output_tokens"],
            max(last, row["run_timestamp"] * 1000),
        )
    return totals


def azure_entries() -> Iterator[dict[str, object]]:
    """The 8,819 rows of Azure's code trace as entries; it knows no provider, latency or status."""
    with AZURE.open(encoding="ascii", newline="") as lines:
        for row in csv.DictReader(lines):
            # The fraction has seven digits, one more than datetime takes.
            moment = datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC)
            yield {
                "timestamp": round(moment.timestamp() * 1000),
                "chain_name": "azure-code",
                "provider_id": "azure",
                "model": "code",
                "prompt_tokens": int(row["ContextTokens"]),
                "completion_tokens": int(row["GeneratedTokens"]),
                "latency_ms": 0,
                "http_status": 200,
            }


def azure_totals() -> Totals:
    """The totals of that file, summed straight from its own columns."""
    _, *rows = [line.split(",") for line in AZURE.read_text(encoding="ascii").split("\n")]
    prompt, completion = sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)
    newest = datetime.fromisoformat(max(row[0] for row in rows)[:26] + "+00:00")
    return {"azure": (len(rows), prompt + completion, prompt, completion, round(newest.timestamp() * 1000))}


def write_jsonl(path: Path, entries: Iterator[dict[str, object]]) -> Path:
    """Writes the entries as JSON lines and returns the path."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return path
