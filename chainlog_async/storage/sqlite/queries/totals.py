"""The SQL of all-time totals, of the summary, and of the names to filter by."""

from __future__ import annotations

from chainlog_async.common.clock import DAY_MS, HOUR_MS

_PROVIDERS = (
    "SELECT provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, "
    "last_request_timestamp FROM usage_by_provider"
)
_CHAINS = (
    "SELECT chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, "
    "last_request_timestamp FROM usage_by_chain"
)
ALL_PROVIDERS = _PROVIDERS + " ORDER BY last_request_timestamp DESC, provider_id"
ONE_PROVIDER = _PROVIDERS + " WHERE provider_id = ?"
ALL_CHAINS = _CHAINS + " ORDER BY last_request_timestamp DESC, chain_name"
ONE_CHAIN = _CHAINS + " WHERE chain_name = ?"
SUMMARY = "SELECT total_requests, waterfall_requests, total_latency_ms FROM usage_summary WHERE id = 1"

CHAIN_NAMES = "SELECT chain_name FROM usage_by_chain ORDER BY total_requests DESC, chain_name LIMIT ?"
PROVIDER_NAMES = "SELECT provider_id FROM usage_by_provider ORDER BY total_requests DESC, provider_id LIMIT ?"


def _names_of(column: str, named: str) -> str:
    """From rolled-up days and hours, and from buckets that are not rolled up yet."""
    rolled_up = f"SELECT {column} FROM usage_rollups WHERE dimension = '{column}' AND {named}"  # noqa: S608  # built from constants of this module
    return f"""
      {rolled_up} AND width = {DAY_MS}
      UNION
      {rolled_up} AND width = {HOUR_MS} AND start >= (
        SELECT rolled_until - {2 * DAY_MS} FROM rollup_progress WHERE id = 1
      )
      UNION
      SELECT {column} FROM usage_buckets
      WHERE start >= (SELECT rolled_until FROM rollup_progress WHERE id = 1) AND {named}
      ORDER BY {column} LIMIT ?
    """  # noqa: S608  # built from constants of this module


MODEL_NAMES, CALLER_NAMES = _names_of("model", "TRUE"), _names_of("caller", "caller <> ''")
