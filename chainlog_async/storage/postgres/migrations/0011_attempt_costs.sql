-- What every try cost: see migrations/0016 of SQLite.

-- What the tokens of a line without a cost of its own cost by the table of prices, in billionths of a US dollar; no row
-- where there is no price. What its attempts cost, of which it was the sum, is left to `cost_with_tries`.
CREATE OR REPLACE FUNCTION price_of(v jsonb) RETURNS TABLE (nano bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT floor((
      greatest(prompt - cached - written - audio_in, 0) * input
      + cached * COALESCE(cache_read, input)
      + greatest(written - written_1h, 0) * COALESCE(cache_write, input)
      + written_1h * COALESCE(cache_write_1h, cache_write, input)
      + audio_in * COALESCE(input_audio, input)
      + CASE WHEN completion = 0 THEN 0 ELSE greatest(completion - audio_out, 0) * output END
      + audio_out * COALESCE(output_audio, output, 0)
    ) / 1e3 + 0.5)::bigint
  FROM (
    SELECT
      v ->> 2 AS provider, v ->> 3 AS name, COALESCE(v ->> 25, '') AS tier, (v ->> 0)::bigint AS logged_at,
      (v ->> 4)::numeric AS prompt, (v ->> 5)::numeric AS completion, COALESCE((v ->> 16)::numeric, 0) AS cached,
      COALESCE((v ->> 19)::numeric, 0) AS written, COALESCE((v ->> 20)::numeric, 0) AS written_1h,
      COALESCE((v ->> 22)::numeric, 0) AS audio_in, COALESCE((v ->> 23)::numeric, 0) AS audio_out
  ) AS line
  LEFT JOIN price_names AS priced ON priced.provider_id = provider AND priced.model = name
  JOIN prices ON prices.provider_id = COALESCE(priced_provider, provider)
    AND prices.model = COALESCE(priced_model, name)
    AND prices.service_tier IN ('', tier) AND prices.since <= logged_at
    AND (above_tokens = 0 OR above_tokens < prompt)
  WHERE v ->> 14 IS NULL AND (v ->> 9)::bigint > 0 AND (v ->> 4)::bigint + (v ->> 5)::bigint > 0
  ORDER BY prices.service_tier DESC, priority DESC, since DESC, above_tokens DESC LIMIT 1;
END;

-- The attempts of a line, those with tokens and no cost with the one that the table of prices gives them, and `again`
-- also those that have one from it; no row where no cost changes.
CREATE FUNCTION priced_trail(v jsonb, again boolean) RETURNS TABLE (trail jsonb)
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- With OFFSET 0, a call is made once, and not for each value that is read of it.
  SELECT jsonb_agg(
    CASE
      WHEN nano IS DISTINCT FROM old_nano
      THEN attempt || jsonb_build_object('cost_usd', nano / 1e9::float8, 'cost_source', 'table')
      ELSE attempt
    END ORDER BY place
  )
  FROM (
    SELECT
      attempt, place, old_nano,
      CASE WHEN priced.nano IS NULL THEN old_nano ELSE least(priced.nano, 10000000000000) END AS nano
    FROM (
      SELECT
        attempt, place,
        CASE WHEN attempt ->> 'cost_usd' IS NOT NULL THEN nanos((attempt ->> 'cost_usd')::float8) END AS old_nano,
        jsonb_build_array(
          v -> 0, NULL, attempt -> 'provider_id', attempt -> 'model',
          COALESCE((attempt ->> 'prompt_tokens')::bigint, 0), COALESCE((attempt ->> 'completion_tokens')::bigint, 0),
          NULL, NULL, NULL, 1, NULL, NULL, NULL, NULL,
          CASE WHEN NOT again OR attempt ->> 'cost_source' IS DISTINCT FROM 'table' THEN attempt -> 'cost_usd' END,
          NULL, attempt -> 'cached_tokens', NULL, NULL, attempt -> 'cache_write_tokens',
          attempt -> 'cache_write_1h_tokens', NULL, attempt -> 'prompt_audio_tokens',
          attempt -> 'completion_audio_tokens', NULL, v -> 25
        ) AS call
      FROM jsonb_array_elements(v -> 18) WITH ORDINALITY AS tried (attempt, place)
      OFFSET 0
    ) AS tries
    LEFT JOIN LATERAL price_of(call) AS priced ON TRUE
    OFFSET 0
  ) AS priced_tries
  HAVING bool_or(nano IS DISTINCT FROM old_nano);
END;

-- What a request without a cost costs, from the price of its tokens, whether it has tokens, and its attempts.
CREATE FUNCTION cost_with_tries(price bigint, has_tokens boolean, trail jsonb) RETURNS TABLE (nano bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT CASE WHEN price IS NOT NULL OR is_priced THEN COALESCE(others, 0) + CASE
    WHEN last_counts THEN COALESCE(last_cost, price, CASE WHEN NOT has_tokens AND others IS NOT NULL THEN 0 END)
    ELSE COALESCE(price, last_cost)
  END END
  FROM (
    SELECT
      bool_or(says = 'table') AS is_priced,
      bool_or(failed OR (cost IS NOT NULL AND says IS DISTINCT FROM 'table')) FILTER (WHERE is_last) AS last_counts,
      sum(cost) FILTER (WHERE is_last)::bigint AS last_cost,
      sum(cost) FILTER (WHERE failed AND NOT is_last)::bigint AS others
    FROM (
      SELECT
        place = jsonb_array_length(trail) AS is_last, attempt ->> 'cost_source' AS says,
        CASE WHEN attempt ->> 'cost_usd' IS NOT NULL THEN nanos((attempt ->> 'cost_usd')::float8) END AS cost,
        COALESCE((attempt ->> 'http_status')::integer, 599) >= 400 OR attempt ->> 'error_message' IS NOT NULL AS failed
      FROM jsonb_array_elements(trail) WITH ORDINALITY AS tried (attempt, place)
    ) AS tries
  ) AS sums;
END;

-- As in 0010, with the costs of attempts: what has no attempts costs a look at whether it has.
CREATE OR REPLACE FUNCTION rows_of(lines jsonb, first_id bigint) RETURNS SETOF request_logs
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT
    first_id + place - 1,
    (v ->> 0)::bigint,
    (v ->> 4)::bigint,
    (v ->> 5)::bigint,
    COALESCE((v ->> 6)::bigint, (v ->> 4)::bigint + (v ->> 5)::bigint),
    floor((v ->> 7)::float8 + 0.5)::bigint,
    (v ->> 9)::bigint,
    floor((v ->> 13)::float8 + 0.5)::bigint,
    (v ->> 16)::bigint,
    (v ->> 19)::bigint,
    (v ->> 20)::bigint,
    (v ->> 21)::bigint,
    (v ->> 22)::bigint,
    (v ->> 23)::bigint,
    COALESCE((v ->> 14)::float8, nano / 1e9::float8),
    (v ->> 8)::smallint,
    outcome_of((v ->> 8)::bigint, v ->> 10, v #> '{18,-1}'),
    (v ->> 15)::boolean,
    v ->> 1,
    v ->> 2,
    v ->> 3,
    v ->> 12,
    v ->> 11,
    v ->> 10,
    v ->> 17,
    trail::text,
    v ->> 24,
    v ->> 25,
    v ->> 26,
    v ->> 27,
    v ->> 28,
    CASE WHEN v ->> 14 IS NOT NULL THEN COALESCE(v ->> 29, 'gateway') WHEN nano IS NOT NULL THEN 'table' END
  FROM jsonb_array_elements(lines) WITH ORDINALITY AS line (v, place)
  LEFT JOIN LATERAL price_of(v) AS priced (price) ON TRUE
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN strpos(v ->> 18, '_tokens"') > 0
      THEN COALESCE((SELECT t.trail FROM priced_trail(v, FALSE) AS t), v -> 18)
      ELSE nullif(v -> 18, 'null')
    END AS trail
    OFFSET 0
  ) AS tried
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN trail IS NULL OR v ->> 14 IS NOT NULL THEN price
      ELSE (SELECT c.nano FROM cost_with_tries(price, (v ->> 4)::bigint + (v ->> 5)::bigint > 0, trail) AS c)
    END AS nano
    OFFSET 0
  ) AS cost;
END;

DROP FUNCTION price_nano;

DROP FUNCTION repriced_requests;

-- The requests with ids after `after_id` and up to `last_id`, from `since` (ms, UTC) on, that would cost something else
-- by the table of prices, themselves or an attempt of theirs, by the rule of `rows_of`. The cost of a provider or a
-- gateway stays, and so do attempts where `new_trail` is NULL.
CREATE FUNCTION repriced_requests(after_id bigint, last_id bigint, since bigint)
RETURNS TABLE (
  id bigint, at bigint, chain_name text, provider_id text, model text, caller text, tags text, old_nano bigint,
  new_nano bigint, changes_cost boolean, new_trail text, more_unanswered bigint
)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT
    id, at, chain_name, provider_id, model, caller, tags, old_nano, CASE WHEN changes_cost THEN nano ELSE old_nano END,
    changes_cost, trail::text,
    CASE WHEN trail IS NULL THEN 0 ELSE unanswered_nano(trail::text) - unanswered_nano(attempt_trail) END
  FROM (
    SELECT
      r.id, r.timestamp AS at, r.chain_name, r.provider_id, r.model, COALESCE(r.caller, '') AS caller, r.tags,
      r.attempt_trail, nanos(r.cost_usd) AS old_nano, nano, trail,
      is_ours AND nano IS NOT NULL AND (r.cost_usd IS NULL OR nano <> nanos(r.cost_usd)) AS changes_cost
    FROM request_logs AS r
    CROSS JOIN LATERAL (
      SELECT r.cost_usd IS NULL OR COALESCE(r.cost_source, '') = 'table' AS is_ours,
        COALESCE(strpos(r.attempt_trail, '_tokens"') > 0, FALSE) AS has_tokens
    ) AS which
    CROSS JOIN LATERAL (
      SELECT jsonb_build_array(
        r.timestamp, NULL, r.provider_id, r.model, prompt_tokens, completion_tokens, NULL, NULL, NULL, attempts,
        NULL, NULL, NULL, NULL, CASE WHEN NOT is_ours THEN r.cost_usd END, NULL, cached_tokens, NULL,
        attempt_trail::jsonb, cache_write_tokens, cache_write_1h_tokens, NULL, prompt_audio_tokens,
        completion_audio_tokens, NULL, r.service_tier
      ) AS v
      OFFSET 0
    ) AS line
    LEFT JOIN LATERAL price_of(v) AS priced (price) ON TRUE
    CROSS JOIN LATERAL (
      SELECT CASE WHEN has_tokens THEN (SELECT t.trail FROM priced_trail(v, TRUE) AS t) END AS trail
      OFFSET 0
    ) AS tried
    CROSS JOIN LATERAL (
      SELECT CASE
        WHEN r.attempt_trail IS NULL OR NOT is_ours THEN price
        ELSE (
          SELECT c.nano
          FROM cost_with_tries(price, prompt_tokens + completion_tokens > 0, COALESCE(trail, v -> 18)) AS c
        )
      END AS nano
      OFFSET 0
    ) AS cost
    WHERE r.id > after_id AND r.id <= last_id AND r.timestamp >= repriced_requests.since AND (is_ours OR has_tokens)
  ) AS compared
  WHERE changes_cost OR trail IS NOT NULL;
END;

-- Changes the cost of these requests and of their attempts, and with it all sums that have it already. Returns how many
-- requests there were.
CREATE OR REPLACE FUNCTION reprice(after_id bigint, last_id bigint, since bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET jit = off AS $$
DECLARE
  changed_rows bigint;
BEGIN
  -- A process that folds is to see a cost either before or after.
  PERFORM pg_advisory_xact_lock(lock_class('batches'), 0);
  WITH changed AS MATERIALIZED (
    SELECT * FROM repriced_requests(after_id, last_id, since)
  ),
  updated AS (
    UPDATE request_logs AS r SET
      cost_usd = CASE WHEN changes_cost THEN new_nano / 1e9::float8 ELSE r.cost_usd END,
      cost_source = CASE WHEN changes_cost THEN 'table' ELSE r.cost_source END,
      attempt_trail = COALESCE(new_trail, r.attempt_trail)
    FROM changed WHERE r.id = changed.id AND r.timestamp = changed.at
    RETURNING r.id
  ),
  folded AS (
    SELECT
      changed.id, at / 900000 * 900000 AS start, changed.chain_name, changed.provider_id, changed.model,
      changed.caller, changed.tags, new_nano - old_nano AS more, more_unanswered
    FROM changed WHERE NOT EXISTS (SELECT 1 FROM batches AS b WHERE changed.id BETWEEN b.first_id AND b.last_id)
  ),
  change_buckets AS (
    UPDATE usage_buckets AS b SET
      cost_nano = b.cost_nano + d.more, unanswered_cost_nano = b.unanswered_cost_nano + d.more_unanswered
    FROM (
      SELECT
        start, group_of(chain_name, provider_id, model, caller) AS group_id, sum(more) AS more,
        sum(more_unanswered) AS more_unanswered
      FROM folded GROUP BY 1, 2
    ) AS d WHERE b.start = d.start AND b.group_id = d.group_id
  ),
  -- A value without a line of its own was counted as '(others)', and what has no key is in no line.
  tagged AS (
    SELECT DISTINCT
      f.id, f.start / 3600000 * 3600000 AS start, group_of(f.chain_name, f.provider_id, f.model, f.caller) AS group_id,
      k.tag_key, COALESCE(v.tag_value, '(others)') AS tag_value, f.more, f.more_unanswered
    FROM folded AS f CROSS JOIN LATERAL jsonb_array_elements_text(f.tags::jsonb) AS tag
    JOIN tag_keys AS k ON k.tag_key = tag_key_of(tag)
    LEFT JOIN tag_values AS v ON v.tag_key = k.tag_key AND v.tag_value = tag_value_of(tag)
    WHERE f.tags IS NOT NULL
  ),
  change_tags AS (
    UPDATE tag_buckets AS b SET
      cost_nano = b.cost_nano + d.more, unanswered_cost_nano = b.unanswered_cost_nano + d.more_unanswered
    FROM (
      SELECT
        start, group_id, tag_key, tag_value, sum(more) AS more, sum(more_unanswered) AS more_unanswered
      FROM tagged GROUP BY 1, 2, 3, 4
    ) AS d
    WHERE b.start = d.start AND b.tag_key = d.tag_key AND b.tag_value = d.tag_value AND b.group_id = d.group_id
  ),
  change_totals AS (
    UPDATE usage_totals AS t SET
      cost_nano = t.cost_nano + d.more, unanswered_cost_nano = t.unanswered_cost_nano + d.more_unanswered
    FROM (
      SELECT
        group_of(chain_name, provider_id, model, '') AS group_id, sum(more) AS more,
        sum(more_unanswered) AS more_unanswered
      FROM folded GROUP BY 1
    ) AS d WHERE t.group_id = d.group_id
  ),
  change_providers AS (
    UPDATE usage_by_provider AS t SET total_cost_nano = t.total_cost_nano + d.more
    FROM (SELECT provider_id, sum(more) AS more FROM folded GROUP BY 1) AS d WHERE t.provider_id = d.provider_id
  ),
  change_chains AS (
    UPDATE usage_by_chain AS t SET total_cost_nano = t.total_cost_nano + d.more
    FROM (SELECT chain_name, sum(more) AS more FROM folded GROUP BY 1) AS d WHERE t.chain_name = d.chain_name
  ),
  forget_rollups AS (
    DELETE FROM rolled_up USING (SELECT DISTINCT start FROM folded) AS touched
    WHERE rolled_up.start = touched.start / rolled_up.width * rolled_up.width
  )
  SELECT count(*) INTO changed_rows FROM updated;
  RETURN changed_rows;
END $$;
