"""Whether the database has every accepted entry exactly once, and totals that are right."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from chainlog_async.admin.check import check_database

from .life import read_acks

TOTALS = "SELECT provider_id, total_requests, total_prompt_tokens FROM usage_by_provider"
ROWS = "SELECT provider_id, prompt_tokens FROM request_logs"
OUT_OF_ORDER = """
SELECT provider_id, id FROM (
  SELECT provider_id, id, prompt_tokens, LAG(prompt_tokens) OVER (PARTITION BY provider_id ORDER BY id) AS before
  FROM request_logs WHERE chain_name = 'crash' AND provider_id <> 'recovery'
) WHERE before >= prompt_tokens LIMIT 5
"""
# What every table of totals says, less what was pruned, against the rows that are left.
MISMATCHES = """
SELECT 'provider', name FROM (
  SELECT provider_id AS name, total_requests AS requests, total_prompt_tokens AS tokens FROM usage_by_provider
  UNION ALL SELECT provider_id, -total_requests, -total_prompt_tokens FROM pruned_by_provider
  UNION ALL SELECT provider_id, -1, -prompt_tokens FROM request_logs
) GROUP BY name HAVING SUM(requests) <> 0 OR SUM(tokens) <> 0
UNION ALL
SELECT 'chain', name FROM (
  SELECT chain_name AS name, total_requests AS requests, total_prompt_tokens AS tokens FROM usage_by_chain
  UNION ALL SELECT chain_name, -total_requests, -total_prompt_tokens FROM pruned_by_chain
  UNION ALL SELECT chain_name, -1, -prompt_tokens FROM request_logs
) GROUP BY name HAVING SUM(requests) <> 0 OR SUM(tokens) <> 0
UNION ALL
SELECT 'summary', SUM(requests) FROM (
  SELECT total_requests AS requests FROM usage_summary
  UNION ALL SELECT -total_requests FROM pruned_summary
  UNION ALL SELECT -COUNT(*) FROM request_logs
) HAVING SUM(requests) <> 0
"""
UPKEEP = "SELECT (SELECT total_requests FROM pruned_summary), (SELECT COUNT(*) FROM rolled_up WHERE taken_by IS NULL)"
LEFTOVERS = """
SELECT 'rejected_entries', COUNT(*) FROM rejected_entries
UNION ALL SELECT 'unfinished_batches', COUNT(*) FROM unfinished_batches
"""


@dataclass
class Finding:
    """What was found; `problems` is empty when every promise was kept."""

    entries: int = 0
    """Accepted entries of all lives."""
    lost: int = 0
    doubled: int = 0
    pruned: int = 0
    """Rows that retention has deleted."""
    rolled_up: int = 0
    """Spans of time that are rolled up."""
    problems: list[str] = field(default_factory=list)


def verify(db_path: Path, acks: Path, *, pruned: bool = False) -> Finding:
    """Looks at everything. Of each life there may be one entry more than was acknowledged: the one it died with."""
    finding = Finding()
    with closing(sqlite3.connect(db_path, timeout=60)) as connection:
        _check_lives(connection, acks, finding, pruned=pruned)
        problems = [f"totals and rows differ: {row}" for row in connection.execute(MISMATCHES)]
        problems += [f"out of order: {row}" for row in connection.execute(OUT_OF_ORDER)]
        problems += [f"{count} rows in {table}" for table, count in connection.execute(LEFTOVERS) if count]
        ((finding.pruned, finding.rolled_up),) = connection.execute(UPKEEP)
        answers = [text for (text,) in connection.execute("PRAGMA integrity_check")]
        problems += [] if answers == ["ok"] else [f"integrity_check: {answers[:3]}"]
    # What is above is told without our own code; this is for buckets and what is rolled up of them.
    report = asyncio.run(check_database(db_path))
    finding.problems += [*problems, *(f"chainlog check: {one}" for one in report.differences)]
    return finding


def _check_lives(connection: sqlite3.Connection, acks: Path, finding: Finding, *, pruned: bool) -> None:
    totals = {str(name): (int(requests), int(tokens)) for name, requests, tokens in connection.execute(TOTALS)}
    rows: dict[str, list[int]] = {}
    for name, number in connection.execute(ROWS):
        rows.setdefault(str(name), []).append(int(number))
    for path in sorted(acks.iterdir()):
        told = read_acks(path)
        numbers = rows.get(path.name, [])
        stored, tokens = totals.get(path.name, (0, 0))
        finding.entries += told.accepted
        if told.in_memory:
            lost = len(set(range(told.accepted)) - told.in_memory - set(numbers))
            doubled = max(stored - told.accepted - 1, 0)
            is_right = True
        else:
            # The sum of the numbers tells which they are, also when the rows themselves are pruned.
            lost = max(told.accepted - stored, 0)
            doubled = max(stored - told.accepted - 1, 0)
            is_right = tokens == stored * (stored - 1) // 2 and (pruned or len(numbers) == stored)
        doubled += len(numbers) - len(set(numbers))
        finding.lost += lost
        finding.doubled += doubled
        if lost or doubled or not is_right:
            finding.problems.append(
                f"{path.name}: {told.accepted} accepted, {stored} in the totals (tokens {tokens}), {len(numbers)} "
                f"rows, {len(set(numbers))} of them different; {lost} lost, {doubled} doubled"
            )
