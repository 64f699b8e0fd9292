"""The SQL of all-time totals, of the summary, and of the names to filter by: what is folded and what is not, together.

Texts are ordered by their bytes, as in SQLite, and not by the language of the database.
"""

from __future__ import annotations

_PROVIDERS = (
    "SELECT provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, "
    "last_request_timestamp, total_cost_nano::float8 / 1e9 FROM provider_totals_between(:first_ms, :last_ms)"
)
_CHAINS = (
    "SELECT chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, "
    "last_request_timestamp, total_cost_nano::float8 / 1e9 FROM chain_totals_between(:first_ms, :last_ms)"
)
ALL_PROVIDERS = _PROVIDERS + ' ORDER BY last_request_timestamp DESC, provider_id COLLATE "C"'
ONE_PROVIDER = _PROVIDERS + " WHERE provider_id = :name"
ALL_CHAINS = _CHAINS + ' ORDER BY last_request_timestamp DESC, chain_name COLLATE "C"'
ONE_CHAIN = _CHAINS + " WHERE chain_name = :name"
SUMMARY = "SELECT total_requests, waterfall_requests, total_latency_ms FROM summary_totals_between(:first_ms, :last_ms)"

CHAIN_NAMES = """
SELECT chain_name FROM chain_totals_between(:first_ms, :last_ms)
ORDER BY total_requests DESC, chain_name COLLATE "C" LIMIT :limit
"""
PROVIDER_NAMES = """
SELECT provider_id FROM provider_totals_between(:first_ms, :last_ms)
ORDER BY total_requests DESC, provider_id COLLATE "C" LIMIT :limit
"""


def _names_of(column: str) -> str:
    """From what was ever folded, and what is not yet. A group has '' for names that its dimension does not have."""
    return f"""
      SELECT name FROM (
        SELECT DISTINCT {column} AS name FROM usage_groups WHERE {column} <> ''
        UNION SELECT {column} FROM unfolded_rows_between(:first_ms, :last_ms) WHERE {column} <> ''
        LIMIT :limit
      ) AS names ORDER BY name COLLATE "C"
    """  # noqa: S608  # built from constants of this module


MODEL_NAMES, CALLER_NAMES = _names_of("model"), _names_of("caller")
