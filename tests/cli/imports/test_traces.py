"""Real traffic goes in through ``chainlog import`` and comes out as the totals that the source itself adds up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.cli import Cli, totals_of
from tests.support.traces import (
    Totals,
    azure_entries,
    azure_totals,
    llmperf_entries,
    llmperf_totals,
    needs_azure,
    needs_llmperf,
    write_jsonl,
)

Trace = tuple[Callable[[], Iterator[dict[str, object]]], Callable[[], Totals], int]
TRACES = [
    pytest.param((llmperf_entries, llmperf_totals, 2845), marks=needs_llmperf, id="llmperf"),
    pytest.param((azure_entries, azure_totals, 8819), marks=needs_azure, id="azure"),
]


@pytest.mark.parametrize("trace", TRACES)
def test_a_real_trace_gives_its_owntotals_of(cli: Cli, trace: Trace) -> None:
    """Every row of the trace is in the database, and each provider's totals are the source's, to the token."""
    entries, totals, count = trace
    report = cli.json("import", write_jsonl(cli.folder / "trace.jsonl", entries()))
    assert (report["imported"], report["bad"], report["refused"]) == (count, 0, 0)
    assert totals_of(cli) == totals()


@pytest.mark.parametrize("trace", TRACES)
def test_the_same_from_stdin_and_strictly(cli: Cli, trace: Trace) -> None:
    """A pipe with --strict gives the same totals as a file without."""
    entries, totals, count = trace
    path = write_jsonl(cli.folder / "trace.jsonl", entries())
    done = cli.run("import", "--strict", "-", stdin=path.read_bytes())
    assert done.code == 0
    assert f"imported {count:,} entries" in done.stdout
    assert totals_of(cli) == totals()
