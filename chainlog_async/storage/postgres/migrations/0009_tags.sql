-- Usage by tag, in buckets of an hour (UTC), and rollups of them: see migrations/0015 of SQLite; and indexes that lead to
-- sessions.

-- The values that are counted by themselves: the first 1,000 of each of the first 100 keys. All others of a key are
-- counted as '(others)', and keys beyond the first 100 not at all.
CREATE TABLE tag_keys (tag_key text PRIMARY KEY, value_count bigint NOT NULL) WITH (fillfactor = 50);

CREATE TABLE tag_values (tag_key text NOT NULL, tag_value text NOT NULL, PRIMARY KEY (tag_key, tag_value));

CREATE TABLE tag_buckets (
  start bigint NOT NULL,
  group_id uuid NOT NULL,
  tag_key text NOT NULL,
  tag_value text NOT NULL,
  requests bigint NOT NULL,
  errors bigint NOT NULL,
  cancelled bigint NOT NULL,
  rate_limited bigint NOT NULL,
  waterfalls bigint NOT NULL,
  ttft_requests bigint NOT NULL,
  prompt_tokens numeric NOT NULL,
  completion_tokens numeric NOT NULL,
  cached_tokens numeric NOT NULL,
  cache_write_tokens numeric NOT NULL,
  cache_write_1h_tokens numeric NOT NULL,
  reasoning_tokens numeric NOT NULL,
  prompt_audio_tokens numeric NOT NULL,
  completion_audio_tokens numeric NOT NULL,
  total_tokens numeric NOT NULL,
  cost_nano numeric NOT NULL,
  unanswered_cost_nano numeric NOT NULL,
  latency_ms numeric NOT NULL,
  ttft_ms numeric NOT NULL,
  PRIMARY KEY (start, tag_key, tag_value, group_id)
) WITH (fillfactor = 70);

-- Valid while the hour is rolled up as a whole (dimension 'all').
CREATE TABLE tag_rollups (
  start bigint NOT NULL,
  tag_key text NOT NULL,
  tag_value text NOT NULL,
  requests bigint NOT NULL,
  errors bigint NOT NULL,
  cancelled bigint NOT NULL,
  rate_limited bigint NOT NULL,
  waterfalls bigint NOT NULL,
  ttft_requests bigint NOT NULL,
  prompt_tokens numeric NOT NULL,
  completion_tokens numeric NOT NULL,
  cached_tokens numeric NOT NULL,
  cache_write_tokens numeric NOT NULL,
  cache_write_1h_tokens numeric NOT NULL,
  reasoning_tokens numeric NOT NULL,
  prompt_audio_tokens numeric NOT NULL,
  completion_audio_tokens numeric NOT NULL,
  total_tokens numeric NOT NULL,
  cost_nano numeric NOT NULL,
  unanswered_cost_nano numeric NOT NULL,
  latency_ms numeric NOT NULL,
  ttft_ms numeric NOT NULL,
  PRIMARY KEY (start, tag_key, tag_value)
);

CREATE FUNCTION tag_key_of(tag text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN left(tag, strpos(tag, ':') - 1);

CREATE FUNCTION tag_value_of(tag text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(tag, strpos(tag, ':') + 1);

-- How rows are added up by tag is said once here: for readers, for `fold`, and for what is in the log already. In all of
-- them, `r` are the rows. A tag that a row has twice counts once.
DO $do$
DECLARE
  tag_lines CONSTANT text := $lines$
    tagged AS (
      SELECT DISTINCT
        given.id, given.tag_key,
        CASE
          WHEN v.tag_value IS NOT NULL OR COALESCE(k.value_count < 1000, room.for_keys) THEN given.tag_value
          ELSE '(others)'
        END AS tag_value
      FROM (
        SELECT id, tag_key_of(tag) AS tag_key, tag_value_of(tag) AS tag_value
        FROM r CROSS JOIN LATERAL jsonb_array_elements_text(tags::jsonb) AS tag
      ) AS given
      CROSS JOIN (SELECT count(*) < 100 AS for_keys FROM tag_keys) AS room
      LEFT JOIN tag_keys AS k USING (tag_key)
      LEFT JOIN tag_values AS v ON v.tag_key = given.tag_key AND v.tag_value = given.tag_value
      WHERE k.tag_key IS NOT NULL OR room.for_keys
    ),
    new_tags AS (
      SELECT
        timestamp / 3600000 * 3600000 AS start, group_of(chain_name, provider_id, model, COALESCE(caller, '')) AS group_id,
        tag_key, tag_value, chain_name, provider_id, model, COALESCE(caller, '') AS caller,
        count(*) AS requests,
        count(*) FILTER (WHERE outcome = 'f') AS errors,
        count(*) FILTER (WHERE outcome = 'c') AS cancelled,
        count(*) FILTER (WHERE http_status = 429) AS rate_limited,
        count(*) FILTER (WHERE attempts > 1) AS waterfalls,
        count(ttft_ms) FILTER (WHERE outcome = 'a') AS ttft_requests,
        sum(prompt_tokens) AS prompt_tokens,
        sum(completion_tokens) AS completion_tokens,
        sum(COALESCE(cached_tokens, 0)) AS cached_tokens,
        sum(COALESCE(cache_write_tokens, 0)) AS cache_write_tokens,
        sum(COALESCE(cache_write_1h_tokens, 0)) AS cache_write_1h_tokens,
        sum(COALESCE(reasoning_tokens, 0)) AS reasoning_tokens,
        sum(COALESCE(prompt_audio_tokens, 0)) AS prompt_audio_tokens,
        sum(COALESCE(completion_audio_tokens, 0)) AS completion_audio_tokens,
        sum(total_tokens) AS total_tokens,
        sum(nanos(cost_usd)) AS cost_nano,
        sum(CASE WHEN attempt_trail IS NULL THEN 0 ELSE unanswered_nano(attempt_trail) END) AS unanswered_cost_nano,
        COALESCE(sum(latency_ms) FILTER (WHERE outcome = 'a'), 0) AS latency_ms,
        COALESCE(sum(ttft_ms) FILTER (WHERE outcome = 'a'), 0) AS ttft_ms
      FROM tagged JOIN r USING (id) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    )
  $lines$;
  -- The first of each key that there is room for, in the order in which they came.
  new_values CONSTANT text := $values$
    INSERT INTO tag_values (tag_key, tag_value)
    SELECT tag_key, tag_value FROM (
      SELECT
        tag_key, tag_value, COALESCE(value_count, 0) AS known, value_count IS NOT NULL AS is_known,
        row_number() OVER (PARTITION BY tag_key ORDER BY first_id, tag_value) AS place,
        dense_rank() OVER (PARTITION BY value_count IS NULL ORDER BY key_seen, tag_key) AS key_place
      FROM (
        SELECT *, min(first_id) OVER (PARTITION BY tag_key) AS key_seen FROM (
          SELECT tag_key_of(tag) AS tag_key, tag_value_of(tag) AS tag_value, min(id) AS first_id
          FROM r CROSS JOIN LATERAL jsonb_array_elements_text(tags::jsonb) AS tag GROUP BY 1, 2
        ) AS given
        WHERE NOT EXISTS (
          SELECT 1 FROM tag_values AS v WHERE v.tag_key = given.tag_key AND v.tag_value = given.tag_value
        )
      ) AS unknown LEFT JOIN tag_keys USING (tag_key)
    ) AS candidates
    WHERE known + place <= 1000 AND (is_known OR key_place <= 100 - (SELECT count(*) FROM tag_keys))
  $values$;
  add_lines CONSTANT text := $add$
    add_groups AS (
      INSERT INTO usage_groups (group_id, chain_name, provider_id, model, caller)
      SELECT DISTINCT group_id, chain_name, provider_id, model, caller FROM new_tags
      ON CONFLICT (group_id) DO NOTHING
    )
    INSERT INTO tag_buckets AS b (
      start, group_id, tag_key, tag_value,
      requests, errors, cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens,
      cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens,
      completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms
    )
    SELECT
      start, group_id, tag_key, tag_value,
      requests, errors, cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens,
      cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens,
      completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms
    FROM new_tags
    ON CONFLICT (start, tag_key, tag_value, group_id) DO UPDATE SET
      requests = b.requests + excluded.requests,
      errors = b.errors + excluded.errors,
      cancelled = b.cancelled + excluded.cancelled,
      rate_limited = b.rate_limited + excluded.rate_limited,
      waterfalls = b.waterfalls + excluded.waterfalls,
      ttft_requests = b.ttft_requests + excluded.ttft_requests,
      prompt_tokens = b.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = b.completion_tokens + excluded.completion_tokens,
      cached_tokens = b.cached_tokens + excluded.cached_tokens,
      cache_write_tokens = b.cache_write_tokens + excluded.cache_write_tokens,
      cache_write_1h_tokens = b.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
      reasoning_tokens = b.reasoning_tokens + excluded.reasoning_tokens,
      prompt_audio_tokens = b.prompt_audio_tokens + excluded.prompt_audio_tokens,
      completion_audio_tokens = b.completion_audio_tokens + excluded.completion_audio_tokens,
      total_tokens = b.total_tokens + excluded.total_tokens,
      cost_nano = b.cost_nano + excluded.cost_nano,
      unanswered_cost_nano = b.unanswered_cost_nano + excluded.unanswered_cost_nano,
      latency_ms = b.latency_ms + excluded.latency_ms,
      ttft_ms = b.ttft_ms + excluded.ttft_ms;
  $add$;
  of_batches CONSTANT text := $rows$
    r AS MATERIALIZED (
      SELECT r.* FROM taken AS b CROSS JOIN LATERAL (
        SELECT * FROM request_logs AS r
        WHERE r.id BETWEEN b.first_id AND b.last_id AND r.timestamp BETWEEN b.first_ms AND b.last_ms
          AND r.tags IS NOT NULL
      ) AS r
    )
  $rows$;
  of_log CONSTANT text := $rows$
    r AS MATERIALIZED (
      SELECT * FROM request_logs WHERE tags IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM batches AS b WHERE request_logs.id BETWEEN b.first_id AND b.last_id
      )
    )
  $rows$;
BEGIN
  EXECUTE 'CREATE VIEW unfolded_tags AS WITH r AS (SELECT * FROM unfolded_rows WHERE tags IS NOT NULL), '
    || tag_lines || ' SELECT * FROM new_tags';

  -- `fold` takes batches out of the ledger: what is in them is added up by tag too, in the same transaction.
  EXECUTE format($fold$
    CREATE FUNCTION fold_tags() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET work_mem = '64MB' SET jit = off AS $body$
    BEGIN
      IF EXISTS (
        SELECT 1 FROM taken AS b JOIN request_logs AS r
          ON r.id BETWEEN b.first_id AND b.last_id AND r.timestamp BETWEEN b.first_ms AND b.last_ms
        WHERE r.tags IS NOT NULL
      ) THEN
        WITH %1$s %2$s;
        WITH %1$s, %3$s, %4$s
      END IF;
      RETURN NULL;
    END $body$
  $fold$, of_batches, new_values, tag_lines, add_lines);

  -- A value that is stored is one more of its key.
  CREATE FUNCTION count_tag_values() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $body$
  BEGIN
    INSERT INTO tag_keys AS k (tag_key, value_count) SELECT tag_key, count(*) FROM added GROUP BY 1
    ON CONFLICT (tag_key) DO UPDATE SET value_count = k.value_count + excluded.value_count;
    RETURN NULL;
  END $body$;

  CREATE TRIGGER count_tag_values AFTER INSERT ON tag_values
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_tag_values();

  -- Nobody folds meanwhile, so that each row is added up once.
  PERFORM pg_advisory_xact_lock(lock_class('batches'), 0);
  EXECUTE 'WITH ' || of_log || new_values;
  EXECUTE 'WITH ' || of_log || ', ' || tag_lines || ', ' || add_lines;
END $do$;

CREATE TRIGGER fold_tags AFTER DELETE ON batches
REFERENCING OLD TABLE AS taken FOR EACH STATEMENT EXECUTE FUNCTION fold_tags();

-- In the step that makes the hour valid.
CREATE FUNCTION roll_up_tags() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM tag_rollups WHERE start = NEW.start;
  INSERT INTO tag_rollups (
    start, tag_key, tag_value,
    requests, errors, cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens,
    cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens,
    completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms
  )
  SELECT
    start, tag_key, tag_value,
    sum(requests), sum(errors), sum(cancelled), sum(rate_limited), sum(waterfalls), sum(ttft_requests),
    sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), sum(cache_write_tokens),
    sum(cache_write_1h_tokens), sum(reasoning_tokens), sum(prompt_audio_tokens), sum(completion_audio_tokens),
    sum(total_tokens), sum(cost_nano), sum(unanswered_cost_nano), sum(latency_ms), sum(ttft_ms)
  FROM tag_buckets WHERE start = NEW.start GROUP BY 1, 2, 3;
  RETURN NULL;
END $$;

CREATE TRIGGER roll_up_tags AFTER INSERT ON rolled_up
FOR EACH ROW WHEN (NEW.width = 3600000 AND NEW.dimensions & 1 = 1) EXECUTE FUNCTION roll_up_tags();

INSERT INTO tag_rollups (
  start, tag_key, tag_value,
  requests, errors, cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens,
  cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens,
  completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms
)
SELECT
  start, tag_key, tag_value,
  sum(requests), sum(errors), sum(cancelled), sum(rate_limited), sum(waterfalls), sum(ttft_requests),
  sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), sum(cache_write_tokens),
  sum(cache_write_1h_tokens), sum(reasoning_tokens), sum(prompt_audio_tokens), sum(completion_audio_tokens),
  sum(total_tokens), sum(cost_nano), sum(unanswered_cost_nano), sum(latency_ms), sum(ttft_ms)
FROM tag_buckets WHERE start IN (SELECT start FROM rolled_up WHERE width = 3600000) GROUP BY 1, 2, 3;

-- The requests of a session, and those that have one, by time.
CREATE INDEX logs_session ON request_logs (session_id, timestamp, id) WHERE session_id IS NOT NULL;
CREATE INDEX logs_sessions ON request_logs (timestamp, id) WHERE session_id IS NOT NULL;
