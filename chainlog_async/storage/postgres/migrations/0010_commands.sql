-- Reads of a part of the log, and what the commands `check`, `prune`, `rejected`, `prices` and `reprice` need.

-- What a line without a cost of its own costs by the table of prices, in billionths of a US dollar; no row where there is
-- no price. A function in FROM becomes a part of the query that calls it, which costs a tenth of calling one for each line.
CREATE FUNCTION price_of(v jsonb) RETURNS TABLE (nano bigint)
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
    ) / 1e3 + 0.5)::bigint + unanswered_nano(v ->> 18)
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

-- Lines as the journal has them, a JSON array each, as rows: the one place that knows which value is which column. A
-- line of an older release, left in a journal, has fewer values: they are NULL.
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
    v ->> 18,
    v ->> 24,
    v ->> 25,
    v ->> 26,
    v ->> 27,
    v ->> 28,
    CASE WHEN v ->> 14 IS NOT NULL THEN COALESCE(v ->> 29, 'gateway') WHEN nano IS NOT NULL THEN 'table' END
  FROM jsonb_array_elements(lines) WITH ORDINALITY AS line (v, place)
  LEFT JOIN LATERAL price_of(v) ON TRUE;
END;

-- The views of what is not folded yet (migrations/0003) join batches with requests, and so are planned over every
-- partition. Here they are functions of the times between which such rows are: a planner that knows these plans for the
-- partitions of these days, and for none if there are no such rows. A migration that changes a view makes its function
-- anew by `make_function_of`.
CREATE FUNCTION unfolded_rows_between(first_ms bigint, last_ms bigint) RETURNS SETOF request_logs
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT r.* FROM batches AS b CROSS JOIN LATERAL (
    SELECT * FROM request_logs AS r
    WHERE r.id BETWEEN b.first_id AND b.last_id AND r.timestamp BETWEEN b.first_ms AND b.last_ms
      AND r.timestamp BETWEEN $1 AND $2
  ) AS r;
END;

-- The rows between two times (ms, UTC), folded or not; the second is not included.
CREATE FUNCTION rows_between(since bigint, until bigint) RETURNS SETOF request_logs
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT * FROM request_logs WHERE timestamp >= since AND timestamp < until;
END;

-- A function with the columns of a view, in which another function takes the place of `unfolded_rows`.
CREATE FUNCTION make_function_of(name text, of_view regclass, source text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  EXECUTE format(
    'CREATE FUNCTION %I(bigint, bigint) RETURNS SETOF %s LANGUAGE sql STABLE BEGIN ATOMIC %s END',
    name, of_view,
    regexp_replace(
      pg_get_viewdef(of_view), 'FROM unfolded_rows\M', format('FROM %I($1, $2) AS unfolded_rows', source), 'g'
    )
  );
END $$;

SELECT make_function_of('unfolded_usage_between', 'unfolded_usage', 'unfolded_rows_between');
SELECT make_function_of('unfolded_attempts_between', 'unfolded_attempts', 'unfolded_rows_between');
SELECT make_function_of('provider_totals_between', 'provider_totals', 'unfolded_rows_between');
SELECT make_function_of('chain_totals_between', 'chain_totals', 'unfolded_rows_between');
SELECT make_function_of('summary_totals_between', 'summary_totals', 'unfolded_rows_between');
SELECT make_function_of('unfolded_tags_between', 'unfolded_tags', 'unfolded_rows_between');

-- Usage, attempts and tags, counted from the rows alone.
SELECT make_function_of('counted_usage', 'unfolded_usage', 'rows_between');
SELECT make_function_of('counted_attempts', 'unfolded_attempts', 'rows_between');
SELECT make_function_of('counted_tags', 'unfolded_tags', 'rows_between');

-- What was pruned of a SQLite log before it had buckets, and so is in the totals and in no bucket; see `chainlog copy`.
CREATE TABLE pruned_before_buckets (
  provider_id text PRIMARY KEY,
  total_requests bigint NOT NULL,
  total_tokens numeric NOT NULL,
  total_prompt_tokens numeric NOT NULL,
  total_completion_tokens numeric NOT NULL
);

-- Moves a rejected entry, as it is now, to the log. Returns FALSE when there is none of that number.
CREATE FUNCTION retry_rejected(number bigint, lines jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  writer CONSTANT text := 'chainlog rejected retry ' || number;
BEGIN
  DELETE FROM rejected_entries WHERE id = number;
  IF NOT FOUND THEN
    RETURN FALSE;
  END IF;
  PERFORM write_batch(writer, 0, 1, lines);
  DELETE FROM streams WHERE writer_id = writer;
  RETURN TRUE;
END $$;

CREATE FUNCTION delete_rejected(numbers bigint[]) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  DELETE FROM rejected_entries WHERE id = ANY (numbers) RETURNING id
$$;

-- As `add_prices`, but in the place of those with the same key, and after all of one source are deleted.
CREATE FUNCTION set_prices(new_prices jsonb, new_names jsonb, forget_source text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  DELETE FROM prices WHERE source = forget_source;
  DELETE FROM prices AS p USING jsonb_array_elements(new_prices) AS price (v)
  WHERE p.provider_id = v ->> 0 AND p.model = v ->> 1 AND p.service_tier = v ->> 2 AND p.priority = (v ->> 3)::bigint
    AND p.since = (v ->> 4)::bigint AND p.above_tokens = (v ->> 5)::bigint;
  SELECT add_prices(new_prices, new_names);
$$;

-- The requests with ids after `after_id` and up to `last_id`, from `since` (ms, UTC) on, that would cost something else
-- by the table of prices, by the rule of `rows_of`. The cost of a provider or a gateway stays.
CREATE FUNCTION repriced_requests(after_id bigint, last_id bigint, since bigint)
RETURNS TABLE (
  id bigint, at bigint, chain_name text, provider_id text, model text, caller text, tags text, old_nano bigint,
  new_nano bigint
)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT
    r.id, r.timestamp, r.chain_name, r.provider_id, r.model, COALESCE(r.caller, ''), r.tags, nanos(r.cost_usd), nano
  FROM request_logs AS r CROSS JOIN LATERAL price_of(jsonb_build_array(
    r.timestamp, NULL, r.provider_id, r.model, prompt_tokens, completion_tokens, NULL, NULL, NULL, attempts,
    NULL, NULL, NULL, NULL, NULL, NULL, cached_tokens, NULL, attempt_trail::jsonb, cache_write_tokens,
    cache_write_1h_tokens, NULL, prompt_audio_tokens, completion_audio_tokens, NULL, r.service_tier
  ))
  WHERE r.id > after_id AND r.id <= last_id AND r.timestamp >= repriced_requests.since
    AND (r.cost_usd IS NULL OR r.cost_source = 'table')
    AND (r.cost_usd IS NULL OR nano <> nanos(r.cost_usd));
END;

-- Changes the cost of these requests, and with it all sums that have it already. Returns how many there were.
CREATE FUNCTION reprice(after_id bigint, last_id bigint, since bigint) RETURNS bigint
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
    UPDATE request_logs AS r SET cost_usd = new_nano / 1e9::float8, cost_source = 'table'
    FROM changed WHERE r.id = changed.id AND r.timestamp = changed.at
    RETURNING r.id
  ),
  folded AS (
    SELECT
      changed.id, at / 900000 * 900000 AS start, changed.chain_name, changed.provider_id, changed.model,
      changed.caller, changed.tags, new_nano - old_nano AS more
    FROM changed WHERE NOT EXISTS (SELECT 1 FROM batches AS b WHERE changed.id BETWEEN b.first_id AND b.last_id)
  ),
  change_buckets AS (
    UPDATE usage_buckets AS b SET cost_nano = b.cost_nano + d.more
    FROM (
      SELECT start, group_of(chain_name, provider_id, model, caller) AS group_id, sum(more) AS more
      FROM folded GROUP BY 1, 2
    ) AS d WHERE b.start = d.start AND b.group_id = d.group_id
  ),
  -- A value without a line of its own was counted as '(others)', and what has no key is in no line.
  tagged AS (
    SELECT DISTINCT
      f.id, f.start / 3600000 * 3600000 AS start, group_of(f.chain_name, f.provider_id, f.model, f.caller) AS group_id,
      k.tag_key, COALESCE(v.tag_value, '(others)') AS tag_value, f.more
    FROM folded AS f CROSS JOIN LATERAL jsonb_array_elements_text(f.tags::jsonb) AS tag
    JOIN tag_keys AS k ON k.tag_key = tag_key_of(tag)
    LEFT JOIN tag_values AS v ON v.tag_key = k.tag_key AND v.tag_value = tag_value_of(tag)
    WHERE f.tags IS NOT NULL
  ),
  change_tags AS (
    UPDATE tag_buckets AS b SET cost_nano = b.cost_nano + d.more
    FROM (
      SELECT start, group_id, tag_key, tag_value, sum(more) AS more FROM tagged GROUP BY 1, 2, 3, 4
    ) AS d
    WHERE b.start = d.start AND b.tag_key = d.tag_key AND b.tag_value = d.tag_value AND b.group_id = d.group_id
  ),
  change_totals AS (
    UPDATE usage_totals AS t SET cost_nano = t.cost_nano + d.more
    FROM (
      SELECT group_of(chain_name, provider_id, model, '') AS group_id, sum(more) AS more FROM folded GROUP BY 1
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

-- Deletes up to `most` of the oldest rows before a time (ms, UTC) and, at that time, before an id. Waits for a process
-- that folds. Returns how many were deleted.
CREATE FUNCTION prune_rows(before bigint, before_id bigint, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  deleted integer;
BEGIN
  PERFORM pg_advisory_xact_lock(lock_class('batches'), 0);
  PERFORM fold(1000);
  CREATE TEMP TABLE chainlog_pruned (LIKE request_logs) ON COMMIT DROP;
  WITH oldest AS (
    SELECT r.timestamp, r.id FROM request_logs AS r
    WHERE r.timestamp <= before AND (r.timestamp, r.id) < (before, before_id)
      AND NOT EXISTS (SELECT 1 FROM batches AS b WHERE r.id BETWEEN b.first_id AND b.last_id)
    ORDER BY 1, 2 LIMIT most
  ),
  gone AS (
    DELETE FROM request_logs AS r USING oldest WHERE r.timestamp = oldest.timestamp AND r.id = oldest.id RETURNING r.*
  )
  INSERT INTO chainlog_pruned SELECT * FROM gone;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  PERFORM add_to_pruned('chainlog_pruned');
  UPDATE log_days AS d SET rows = d.rows - gone.rows
  FROM (SELECT timestamp / 86400000 * 86400000 AS day, count(*) AS rows FROM chainlog_pruned GROUP BY 1) AS gone
  WHERE d.day = gone.day;
  DELETE FROM log_days WHERE rows <= 0;
  DROP TABLE chainlog_pruned;
  RETURN deleted;
END $$;

REVOKE EXECUTE ON FUNCTION
  make_function_of, retry_rejected, delete_rejected, set_prices, reprice, prune_rows
FROM PUBLIC;
