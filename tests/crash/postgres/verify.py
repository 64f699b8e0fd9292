"""Whether PostgreSQL has every accepted entry exactly once, in order, and totals that are right."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from tests.crash.verify import Finding

LIVES = """
SELECT provider_id, count(*), count(DISTINCT prompt_tokens), COALESCE(max(prompt_tokens), -1)
FROM chainlog.request_logs WHERE provider_id <> 'recovery' GROUP BY 1
"""
OUT_OF_ORDER = """
SELECT provider_id, id FROM (
  SELECT provider_id, id, prompt_tokens, lag(prompt_tokens) OVER (PARTITION BY provider_id ORDER BY id) AS before
  FROM chainlog.request_logs WHERE provider_id <> 'recovery'
) AS rows WHERE before >= prompt_tokens LIMIT 5
"""
# Folded and unfolded together, and what is folded alone once everything is.
MISMATCHES = """
SELECT 'provider', provider_id FROM (
  SELECT provider_id, total_requests AS requests, total_prompt_tokens AS tokens FROM chainlog.provider_totals
  UNION ALL SELECT provider_id, -count(*), -sum(prompt_tokens) FROM chainlog.request_logs GROUP BY 1
) AS parts GROUP BY 2 HAVING sum(requests) <> 0 OR sum(tokens) <> 0
UNION ALL
SELECT 'chain', chain_name FROM (
  SELECT chain_name, total_requests AS requests, total_prompt_tokens AS tokens FROM chainlog.chain_totals
  UNION ALL SELECT chain_name, -count(*), -sum(prompt_tokens) FROM chainlog.request_logs GROUP BY 1
) AS parts GROUP BY 2 HAVING sum(requests) <> 0 OR sum(tokens) <> 0
UNION ALL
SELECT 'buckets', provider_id FROM (
  SELECT provider_id, requests, prompt_tokens AS tokens FROM chainlog.usage_parts
  UNION ALL SELECT provider_id, -count(*), -sum(prompt_tokens) FROM chainlog.request_logs GROUP BY 1
) AS parts GROUP BY 2 HAVING sum(requests) <> 0 OR sum(tokens) <> 0
UNION ALL
SELECT 'summary', sum(requests)::text FROM (
  SELECT total_requests AS requests FROM chainlog.summary_totals
  UNION ALL SELECT -count(*) FROM chainlog.request_logs
) AS parts HAVING sum(requests) <> 0
UNION ALL
SELECT 'rejected', count(*)::text FROM chainlog.rejected_entries HAVING count(*) > 0
"""


async def verify(url: str, acks: Mapping[str, int]) -> Finding:
    """Looks at everything; `acks` has how many entries of each life were accepted.

    Of each life there may be one entry more than was acknowledged: the one it died with.
    """
    finding = Finding()
    connection = await asyncpg.connect(url)
    try:
        found = {name: (rows, distinct, newest) for name, rows, distinct, newest in await connection.fetch(LIVES)}
        for name, accepted in acks.items():
            rows, distinct, newest = found.pop(name, (0, 0, -1))
            finding.entries += accepted
            finding.doubled += rows - distinct
            finding.lost += max(accepted - distinct, 0)
            if newest > accepted or distinct > accepted + 1:
                finding.problems.append(f"{name}: {distinct} rows up to {newest}, and {accepted} were accepted")
        finding.problems += [f"nobody accepted what is in the log of {name}" for name in found]
        for when in ("before", "after"):
            differ = await connection.fetch(MISMATCHES)
            finding.problems += [f"totals and rows differ {when} everything is folded: {tuple(row)}" for row in differ]
            while await connection.fetchval("SELECT chainlog.fold(100)"):
                pass
        finding.problems += [f"out of order: {tuple(row)}" for row in await connection.fetch(OUT_OF_ORDER)]
    finally:
        await connection.close()
    return finding
