"""What `reprice` asks a SQLite file: which costs the table of prices changes in the ids ``:after`` to ``:until``."""

from __future__ import annotations

from chainlog_async.entry.model import MAX_COST_USD

# What the table says a call costs, by the names of its values; the same rule as in the trigger `write_batch` (0016).
_PRICE = """(
  SELECT
    CAST(ROUND((
      MAX(prompt - COALESCE(cached, 0) - COALESCE(written, 0) - COALESCE(audio_in, 0), 0) * input
      + COALESCE(cached, 0) * COALESCE(cache_read, input)
      + MAX(COALESCE(written, 0) - COALESCE(written_1h, 0), 0) * COALESCE(cache_write, input)
      + COALESCE(written_1h, 0) * COALESCE(cache_write_1h, cache_write, input)
      + COALESCE(audio_in, 0) * COALESCE(input_audio, input)
      + IIF(completion = 0, 0, MAX(completion - COALESCE(audio_out, 0), 0) * output)
      + COALESCE(audio_out, 0) * COALESCE(output_audio, output, 0)
    ) / 1e3) AS INTEGER)
  FROM prices
  WHERE prices.provider_id = COALESCE(
      (SELECT priced_provider FROM price_names WHERE price_names.provider_id = provider AND price_names.model = name),
      provider
    ) AND prices.model = COALESCE(
      (SELECT priced_model FROM price_names WHERE price_names.provider_id = provider AND price_names.model = name),
      name
    )
    AND (prices.service_tier = '' OR prices.service_tier = tier)
    AND prices.since <= logged_at AND (above_tokens = 0 OR above_tokens < prompt)
  ORDER BY prices.service_tier DESC, priority DESC, since DESC, above_tokens DESC LIMIT 1
)"""
# The attempts of a request with the costs that they should have; NULL where they have them.
_TRAIL = f"""(
  SELECT IIF(SUM(cost IS NOT old_cost), json_group_array(json(IIF(cost IS old_cost, value, json_set(
    value, '$.cost_usd', cost / 1e9, '$.cost_source', 'table'
  )))), NULL)
  FROM (
    SELECT value, old_cost, COALESCE(MIN(found, {MAX_COST_USD} * 1000000000), old_cost) AS cost
    FROM (
      SELECT
        value, CAST(ROUND(old_usd * 1e9) AS INTEGER) AS old_cost,
        CASE WHEN (old_usd IS NULL OR says = 'table') AND prompt + completion > 0 THEN {_PRICE} END AS found
      FROM (
        SELECT
          value, value ->> 'cost_usd' AS old_usd, value ->> 'cost_source' AS says,
          value ->> 'provider_id' AS provider, value ->> 'model' AS name,
          COALESCE(value ->> 'prompt_tokens', 0) AS prompt,
          COALESCE(value ->> 'completion_tokens', 0) AS completion, value ->> 'cached_tokens' AS cached,
          value ->> 'cache_write_tokens' AS written, value ->> 'cache_write_1h_tokens' AS written_1h,
          value ->> 'prompt_audio_tokens' AS audio_in, value ->> 'completion_audio_tokens' AS audio_out
        FROM json_each(old_trail) LIMIT -1
      )
      LIMIT -1
    )
    LIMIT -1
  )
)"""  # noqa: S608  # constants of this module
# Of each attempt: whether it is the last, whose its cost is, its cost, and whether it did not answer.
_TRIES = """
  SELECT
    key = json_array_length({trail}) - 1 AS is_last, value ->> 'cost_source' AS says,
    CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER) AS cost,
    COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL AS failed
  FROM json_each({trail}) LIMIT -1
"""
_COST_WITH_TRIES = f"""(
  SELECT
    CASE WHEN price IS NOT NULL OR is_priced THEN COALESCE(others, 0) + IIF(
      last_counts,
      COALESCE(last_cost, price, IIF(prompt + completion = 0 AND others IS NOT NULL, 0, NULL)),
      COALESCE(price, last_cost)
    ) END
  FROM (
    SELECT
      MAX(says IS 'table') AS is_priced,
      MAX(IIF(is_last, failed OR (cost IS NOT NULL AND says IS NOT 'table'), 0)) AS last_counts,
      MAX(IIF(is_last, cost, NULL)) AS last_cost, SUM(IIF(failed AND NOT is_last, cost, NULL)) AS others
    FROM ({_TRIES.format(trail="COALESCE(trail, old_trail)")})
  )
)"""  # noqa: S608  # constants of this module
_SPENT = "(SELECT COALESCE(SUM(cost), 0) FROM ({}) WHERE failed)".format  # on tries that did not answer
# What changes of the requests of some ids. The cost of a provider or a gateway stays; one of the table, and none, may
# change, of a request as of its attempts. With the LIMITs, nothing is computed twice.
_CHANGED = f"""
FROM (
  SELECT *, is_ours AND nano IS NOT NULL AND nano IS NOT old_nano AS changes_cost
  FROM (
    SELECT
      *, CASE
        WHEN is_ours THEN IIF(INSTR(COALESCE(trail, old_trail), '"cost_usd"'), {_COST_WITH_TRIES}, price)
      END AS nano
    FROM (
      SELECT
        *, CASE WHEN is_ours AND tries > 0 AND prompt + completion > 0 THEN {_PRICE} END AS price,
        IIF(INSTR(old_trail, '_tokens"'), {_TRAIL}, NULL) AS trail
      FROM (
        SELECT
          id, timestamp AS logged_at, provider_id AS provider, model AS name, service_tier AS tier, attempts AS tries,
          prompt_tokens AS prompt, completion_tokens AS completion, cached_tokens AS cached,
          cache_write_tokens AS written, cache_write_1h_tokens AS written_1h, prompt_audio_tokens AS audio_in,
          completion_audio_tokens AS audio_out, IIF(json_valid(attempt_trail), attempt_trail, NULL) AS old_trail,
          cost_nano AS old_nano, cost_usd IS NULL OR cost_source IS 'table' AS is_ours
        FROM request_logs
        WHERE id > :after AND id <= :until AND +timestamp >= :since
          AND (cost_usd IS NULL OR cost_source IS 'table' OR INSTR(attempt_trail, '_tokens"'))
        LIMIT -1
      )
      LIMIT -1
    )
    LIMIT -1
  )
  LIMIT -1
)
WHERE changes_cost OR trail IS NOT NULL
"""  # noqa: S608  # constants of this module
PLAN = f"""
SELECT
  provider, name, COUNT(*), COALESCE(SUM(old_nano), 0), COALESCE(SUM(IIF(changes_cost, nano, old_nano)), 0),
  SUM(IIF(trail IS NULL, 0, {_SPENT(_TRIES.format(trail="trail"))} - {_SPENT(_TRIES.format(trail="old_trail"))}))
{_CHANGED} GROUP BY 1, 2
"""
# What changes is computed first, without the lock that changing it takes. Others do not change a cost meanwhile.
STAGED = """
CREATE TEMP TABLE staged_costs (id INTEGER PRIMARY KEY, nano INTEGER, trail TEXT, changes_cost INTEGER NOT NULL)
"""
STAGE = f"INSERT INTO staged_costs SELECT id, nano, trail, changes_cost {_CHANGED}"
CHANGE = """
UPDATE request_logs SET
  cost_usd = IIF(changes_cost, staged.nano / 1e9, cost_usd), cost_source = IIF(changes_cost, 'table', cost_source),
  attempt_trail = COALESCE(staged.trail, attempt_trail)
FROM (SELECT * FROM staged_costs LIMIT -1) AS staged WHERE staged.id = request_logs.id
"""
UNSTAGE = "DELETE FROM staged_costs"
