-- The rows of batches that are not in the totals yet.
CREATE VIEW unfolded_rows AS
SELECT r.* FROM batches AS b CROSS JOIN LATERAL (
  SELECT * FROM request_logs AS r
  WHERE r.id BETWEEN b.first_id AND b.last_id AND r.timestamp BETWEEN b.first_ms AND b.last_ms
) AS r;

-- How rows are added up is said once here, for the views that readers use and for `fold`; in both, `r` are the rows.
DO $do$
DECLARE
  usage_lines CONSTANT text := $lines$
    per_bin AS (
      SELECT
        timestamp / 900000 * 900000 AS start, chain_name, provider_id, model, COALESCE(caller, '') AS caller,
        bin_of(latency_ms) AS bin,
        count(*) FILTER (WHERE outcome = 'a') AS answered,
        count(*) FILTER (WHERE outcome <> 'a') AS unanswered,
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
      FROM r GROUP BY 1, 2, 3, 4, 5, 6
    ),
    ttfts_per_bin AS (
      SELECT
        timestamp / 900000 * 900000 AS start, chain_name, provider_id, model, COALESCE(caller, '') AS caller,
        bin_of(ttft_ms) AS bin,
        count(*) FILTER (WHERE outcome = 'a') AS answered,
        count(*) FILTER (WHERE outcome <> 'a') AS unanswered
      FROM r WHERE ttft_ms IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6
    ),
    ttft_lines AS (
      SELECT
        start, chain_name, provider_id, model, caller,
        array_agg(512 * answered + bin ORDER BY bin) FILTER (WHERE answered > 0) AS ttfts,
        array_agg(512 * unanswered + bin ORDER BY bin) FILTER (WHERE unanswered > 0) AS failed_ttfts
      FROM ttfts_per_bin GROUP BY 1, 2, 3, 4, 5
    ),
    usage_lines AS (
      SELECT
        start, chain_name, provider_id, model, caller,
        sum(requests)::bigint AS requests,
        sum(errors)::bigint AS errors,
        sum(cancelled)::bigint AS cancelled,
        sum(rate_limited)::bigint AS rate_limited,
        sum(waterfalls)::bigint AS waterfalls,
        sum(ttft_requests)::bigint AS ttft_requests,
        sum(prompt_tokens) AS prompt_tokens,
        sum(completion_tokens) AS completion_tokens,
        sum(cached_tokens) AS cached_tokens,
        sum(cache_write_tokens) AS cache_write_tokens,
        sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
        sum(reasoning_tokens) AS reasoning_tokens,
        sum(prompt_audio_tokens) AS prompt_audio_tokens,
        sum(completion_audio_tokens) AS completion_audio_tokens,
        sum(total_tokens) AS total_tokens,
        sum(cost_nano) AS cost_nano,
        sum(unanswered_cost_nano) AS unanswered_cost_nano,
        sum(latency_ms) AS latency_ms,
        sum(ttft_ms) AS ttft_ms,
        COALESCE(array_agg(512 * answered + bin ORDER BY bin) FILTER (WHERE answered > 0), '{}') AS latencies,
        COALESCE(array_agg(512 * unanswered + bin ORDER BY bin) FILTER (WHERE unanswered > 0), '{}')
          AS failed_latencies
      FROM per_bin GROUP BY 1, 2, 3, 4, 5
    ),
    new_usage AS (
      SELECT
        start, group_of(chain_name, provider_id, model, caller) AS group_id, chain_name, provider_id, model, caller,
        requests, errors, cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens,
        cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens,
        completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms, latencies,
        COALESCE(ttfts, '{}') AS ttfts,
        failed_latencies, COALESCE(failed_ttfts, '{}') AS failed_ttfts
      FROM usage_lines LEFT JOIN ttft_lines USING (start, chain_name, provider_id, model, caller)
    )
  $lines$;

  -- An attempt without a status, as of a refused connection, has failed, and so has one with an error message: 599
  -- stands for both.
  attempt_lines CONSTANT text := $lines$
    tries AS (
      SELECT
        timestamp / 900000 * 900000 AS start, provider_id, model, http_status::integer AS status,
        http_status::integer AS told, error_message AS message, timestamp, id, 1::bigint AS place
      FROM r WHERE attempt_trail IS NULL AND attempts > 0
      UNION ALL
      SELECT
        timestamp / 900000 * 900000, value ->> 'provider_id', value ->> 'model',
        CASE
          WHEN (value ->> 'http_status')::integer >= 400 OR value ->> 'error_message' IS NULL
          THEN COALESCE((value ->> 'http_status')::integer, 599) ELSE 599
        END,
        (value ->> 'http_status')::integer, value ->> 'error_message', timestamp, id, place
      FROM r CROSS JOIN LATERAL jsonb_array_elements(attempt_trail::jsonb) WITH ORDINALITY AS trail (value, place)
      WHERE attempt_trail IS NOT NULL
    ),
    last_errors AS (
      SELECT DISTINCT ON (start, provider_id, model)
        start, provider_id, model, left(message, 500) AS last_error, told AS last_error_status,
        timestamp AS last_error_at, id AS last_error_id
      FROM tries WHERE status >= 400 AND status <> 499
      ORDER BY start, provider_id, model, timestamp DESC, id DESC, place DESC
    ),
    new_attempts AS (
      SELECT
        start, provider_id, model, tries, successes, rate_limited, failures,
        last_error, last_error_status, last_error_at, last_error_id
      FROM (
        SELECT
          start, provider_id, model,
          count(*) AS tries,
          count(*) FILTER (WHERE status < 400) AS successes,
          count(*) FILTER (WHERE status = 429) AS rate_limited,
          count(*) FILTER (WHERE status >= 400 AND status NOT IN (429, 499)) AS failures
        FROM tries GROUP BY 1, 2, 3
      ) AS sums LEFT JOIN last_errors USING (start, provider_id, model)
    )
  $lines$;
BEGIN
  EXECUTE 'CREATE VIEW unfolded_usage AS WITH r AS (SELECT * FROM unfolded_rows), '
    || usage_lines || ' SELECT * FROM new_usage';
  EXECUTE 'CREATE VIEW unfolded_attempts AS WITH r AS (SELECT * FROM unfolded_rows), '
    || attempt_lines || ' SELECT * FROM new_attempts';

  -- Adds the oldest batches of the ledger to the totals. One process at a time: returns how many rows they had, or NULL
  -- when another is at it. A ledger row leaves in the transaction in which its rows arrive, so whoever reads sees a batch
  -- in the totals or in the ledger, never in both.
  EXECUTE format($fold$
    CREATE FUNCTION fold(most_batches integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET work_mem = '64MB' SET jit = off AS $body$
    DECLARE
      horizon bigint;
      folded bigint;
    BEGIN
      IF NOT pg_try_advisory_xact_lock(lock_class('batches'), 0) THEN
        RETURN NULL;
      END IF;
      horizon := settled_id();
      UPDATE settled SET id = horizon WHERE id < horizon;
      IF NOT EXISTS (SELECT 1 FROM batches) THEN
        RETURN 0;
      END IF;
      WITH taken AS (
        DELETE FROM batches WHERE first_id IN (SELECT first_id FROM batches ORDER BY first_id LIMIT most_batches)
        RETURNING first_id, last_id, first_ms, last_ms
      ),
      r AS MATERIALIZED (
        SELECT r.* FROM taken AS b CROSS JOIN LATERAL (
          SELECT * FROM request_logs AS r
          WHERE r.id BETWEEN b.first_id AND b.last_id AND r.timestamp BETWEEN b.first_ms AND b.last_ms
        ) AS r
      ), %1$s, %2$s,
      add_groups AS (
        INSERT INTO usage_groups (group_id, chain_name, provider_id, model, caller)
        SELECT DISTINCT group_id, chain_name, provider_id, model, caller FROM new_usage
        ON CONFLICT (group_id) DO NOTHING
      ),
      add_usage AS (
        INSERT INTO usage_buckets AS b (
          start, group_id, requests, errors, cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens,
          completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
          prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms,
          ttft_ms, latencies, ttfts,
          failed_latencies, failed_ttfts
        )
        SELECT
          start, group_id, requests, errors, cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens,
          completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
          prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms,
          ttft_ms, latencies, ttfts,
          failed_latencies, failed_ttfts
        FROM new_usage
        ON CONFLICT (start, group_id) DO UPDATE SET
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
          ttft_ms = b.ttft_ms + excluded.ttft_ms,
          latencies = add_histograms(b.latencies, excluded.latencies),
          ttfts = add_histograms(b.ttfts, excluded.ttfts),
          failed_latencies = add_histograms(b.failed_latencies, excluded.failed_latencies),
          failed_ttfts = add_histograms(b.failed_ttfts, excluded.failed_ttfts)
      ),
      forget_rollups AS (
        DELETE FROM rolled_up USING (SELECT DISTINCT start FROM new_usage) AS touched
        WHERE rolled_up.start = touched.start / rolled_up.width * rolled_up.width
      ),
      add_attempts AS (
        INSERT INTO attempt_buckets AS b (
          start, provider_id, model, tries, successes, rate_limited, failures,
          last_error, last_error_status, last_error_at, last_error_id
        )
        SELECT
          start, provider_id, model, tries, successes, rate_limited, failures,
          last_error, last_error_status, last_error_at, last_error_id
        FROM new_attempts
        ON CONFLICT (start, provider_id, model) DO UPDATE SET
          tries = b.tries + excluded.tries,
          successes = b.successes + excluded.successes,
          rate_limited = b.rate_limited + excluded.rate_limited,
          failures = b.failures + excluded.failures,
          (last_error, last_error_status, last_error_at, last_error_id) = (
            SELECT e.* FROM (VALUES
              (b.last_error, b.last_error_status, b.last_error_at, b.last_error_id),
              (excluded.last_error, excluded.last_error_status, excluded.last_error_at, excluded.last_error_id)
            ) AS e (message, status, at, id) ORDER BY at DESC NULLS LAST, id DESC NULLS LAST LIMIT 1
          )
      ),
      total_latencies AS (
        SELECT
          chain_name, provider_id, model,
          array_agg(512 * answered + bin ORDER BY bin) FILTER (WHERE answered > 0) AS latencies,
          array_agg(512 * unanswered + bin ORDER BY bin) FILTER (WHERE unanswered > 0) AS failed_latencies
        FROM (
          SELECT
            chain_name, provider_id, model, bin, sum(answered)::bigint AS answered,
            sum(unanswered)::bigint AS unanswered
          FROM per_bin GROUP BY 1, 2, 3, 4
        ) AS bins GROUP BY 1, 2, 3
      ),
      total_ttfts AS (
        SELECT chain_name, provider_id, model, array_agg(512 * answered + bin ORDER BY bin) AS ttfts
        FROM (
          SELECT chain_name, provider_id, model, bin, sum(answered)::bigint AS answered
          FROM ttfts_per_bin WHERE answered > 0 GROUP BY 1, 2, 3, 4
        ) AS bins GROUP BY 1, 2, 3
      ),
      total_sums AS (
        SELECT
          chain_name, provider_id, model, min(start) AS first_start,
          sum(requests) AS requests,
          sum(errors) AS errors,
          sum(cancelled) AS cancelled,
          sum(rate_limited) AS rate_limited,
          sum(waterfalls) AS waterfalls,
          sum(ttft_requests) AS ttft_requests,
          sum(prompt_tokens) AS prompt_tokens,
          sum(completion_tokens) AS completion_tokens,
          sum(cached_tokens) AS cached_tokens,
          sum(cache_write_tokens) AS cache_write_tokens,
          sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
          sum(reasoning_tokens) AS reasoning_tokens,
          sum(prompt_audio_tokens) AS prompt_audio_tokens,
          sum(completion_audio_tokens) AS completion_audio_tokens,
          sum(total_tokens) AS total_tokens,
          sum(cost_nano) AS cost_nano,
          sum(unanswered_cost_nano) AS unanswered_cost_nano,
          sum(latency_ms) AS latency_ms,
          sum(ttft_ms) AS ttft_ms
        FROM new_usage GROUP BY 1, 2, 3
      ),
      add_totals AS (
        INSERT INTO usage_totals AS t (
          group_id, chain_name, provider_id, model, first_start, requests, errors, cancelled, rate_limited, waterfalls,
          ttft_requests, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
          reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano,
          unanswered_cost_nano, latency_ms, ttft_ms,
          latencies, ttfts, failed_latencies
        )
        SELECT
          group_of(chain_name, provider_id, model, ''), chain_name, provider_id, model, first_start, requests, errors,
          cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens, cached_tokens,
          cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens,
          total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms, COALESCE(latencies, '{}'),
          COALESCE(ttfts, '{}'),
          COALESCE(failed_latencies, '{}')
        FROM total_sums
          LEFT JOIN total_latencies USING (chain_name, provider_id, model)
          LEFT JOIN total_ttfts USING (chain_name, provider_id, model)
        ON CONFLICT (group_id) DO UPDATE SET
          first_start = least(t.first_start, excluded.first_start),
          requests = t.requests + excluded.requests,
          errors = t.errors + excluded.errors,
          cancelled = t.cancelled + excluded.cancelled,
          rate_limited = t.rate_limited + excluded.rate_limited,
          waterfalls = t.waterfalls + excluded.waterfalls,
          ttft_requests = t.ttft_requests + excluded.ttft_requests,
          prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
          completion_tokens = t.completion_tokens + excluded.completion_tokens,
          cached_tokens = t.cached_tokens + excluded.cached_tokens,
          cache_write_tokens = t.cache_write_tokens + excluded.cache_write_tokens,
          cache_write_1h_tokens = t.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
          reasoning_tokens = t.reasoning_tokens + excluded.reasoning_tokens,
          prompt_audio_tokens = t.prompt_audio_tokens + excluded.prompt_audio_tokens,
          completion_audio_tokens = t.completion_audio_tokens + excluded.completion_audio_tokens,
          total_tokens = t.total_tokens + excluded.total_tokens,
          cost_nano = t.cost_nano + excluded.cost_nano,
          unanswered_cost_nano = t.unanswered_cost_nano + excluded.unanswered_cost_nano,
          latency_ms = t.latency_ms + excluded.latency_ms,
          ttft_ms = t.ttft_ms + excluded.ttft_ms,
          latencies = add_histograms(t.latencies, excluded.latencies),
          ttfts = add_histograms(t.ttfts, excluded.ttfts),
          failed_latencies = add_histograms(t.failed_latencies, excluded.failed_latencies)
      ),
      add_attempt_totals AS (
        INSERT INTO attempt_totals AS t
        SELECT provider_id, model, min(start), sum(tries), sum(successes), sum(rate_limited), sum(failures)
        FROM new_attempts GROUP BY 1, 2
        ON CONFLICT (provider_id, model) DO UPDATE SET
          first_start = least(t.first_start, excluded.first_start),
          tries = t.tries + excluded.tries,
          successes = t.successes + excluded.successes,
          rate_limited = t.rate_limited + excluded.rate_limited,
          failures = t.failures + excluded.failures
      ),
      add_days AS (
        INSERT INTO log_days AS d (day, rows)
        SELECT start / 86400000 * 86400000, sum(requests) FROM new_usage GROUP BY 1
        ON CONFLICT (day) DO UPDATE SET rows = d.rows + excluded.rows
      ),
      add_providers AS (
        INSERT INTO usage_by_provider AS t
        SELECT provider_id, count(*), sum(total_tokens), sum(prompt_tokens), sum(completion_tokens), max(timestamp),
        sum(nanos(cost_usd))
        FROM r GROUP BY 1
        ON CONFLICT (provider_id) DO UPDATE SET
          total_requests = t.total_requests + excluded.total_requests,
          total_tokens = t.total_tokens + excluded.total_tokens,
          total_prompt_tokens = t.total_prompt_tokens + excluded.total_prompt_tokens,
          total_completion_tokens = t.total_completion_tokens + excluded.total_completion_tokens,
          last_request_timestamp = greatest(t.last_request_timestamp, excluded.last_request_timestamp),
          total_cost_nano = t.total_cost_nano + excluded.total_cost_nano
      ),
      add_chains AS (
        INSERT INTO usage_by_chain AS t
        SELECT chain_name, count(*), sum(total_tokens), sum(prompt_tokens), sum(completion_tokens), max(timestamp),
        sum(nanos(cost_usd))
        FROM r GROUP BY 1
        ON CONFLICT (chain_name) DO UPDATE SET
          total_requests = t.total_requests + excluded.total_requests,
          total_tokens = t.total_tokens + excluded.total_tokens,
          total_prompt_tokens = t.total_prompt_tokens + excluded.total_prompt_tokens,
          total_completion_tokens = t.total_completion_tokens + excluded.total_completion_tokens,
          last_request_timestamp = greatest(t.last_request_timestamp, excluded.last_request_timestamp),
          total_cost_nano = t.total_cost_nano + excluded.total_cost_nano
      ),
      add_summary AS (
        UPDATE usage_summary AS t SET
          total_requests = t.total_requests + new.requests,
          waterfall_requests = t.waterfall_requests + new.waterfalls,
          total_latency_ms = t.total_latency_ms + new.latency_ms
        FROM (
          SELECT count(*) AS requests, count(*) FILTER (WHERE attempts > 1) AS waterfalls,
            COALESCE(sum(latency_ms), 0) AS latency_ms
          FROM r
        ) AS new
      )
      SELECT count(*) INTO folded FROM r;
      RETURN folded;
    END $body$
  $fold$, usage_lines, attempt_lines);
END $do$;

-- What readers ask: what is folded and what is not, together.
CREATE VIEW provider_totals AS
SELECT
  provider_id, sum(total_requests)::bigint AS total_requests, sum(total_tokens) AS total_tokens,
  sum(total_prompt_tokens) AS total_prompt_tokens, sum(total_completion_tokens) AS total_completion_tokens,
  max(last_request_timestamp) AS last_request_timestamp,
  sum(total_cost_nano) AS total_cost_nano
FROM (
  SELECT * FROM usage_by_provider
  UNION ALL
  SELECT provider_id, count(*), sum(total_tokens), sum(prompt_tokens), sum(completion_tokens), max(timestamp),
  sum(nanos(cost_usd))
  FROM unfolded_rows GROUP BY 1
) AS parts GROUP BY 1;

CREATE VIEW chain_totals AS
SELECT
  chain_name, sum(total_requests)::bigint AS total_requests, sum(total_tokens) AS total_tokens,
  sum(total_prompt_tokens) AS total_prompt_tokens, sum(total_completion_tokens) AS total_completion_tokens,
  max(last_request_timestamp) AS last_request_timestamp,
  sum(total_cost_nano) AS total_cost_nano
FROM (
  SELECT * FROM usage_by_chain
  UNION ALL
  SELECT chain_name, count(*), sum(total_tokens), sum(prompt_tokens), sum(completion_tokens), max(timestamp),
  sum(nanos(cost_usd))
  FROM unfolded_rows GROUP BY 1
) AS parts GROUP BY 1;

CREATE VIEW summary_totals AS
SELECT
  sum(total_requests)::bigint AS total_requests, sum(waterfall_requests)::bigint AS waterfall_requests,
  sum(total_latency_ms) AS total_latency_ms
FROM (
  SELECT total_requests, waterfall_requests, total_latency_ms FROM usage_summary
  UNION ALL
  SELECT count(*), count(*) FILTER (WHERE attempts > 1), COALESCE(sum(latency_ms), 0) FROM unfolded_rows
) AS parts;

-- Lines of buckets with their names; of one quarter of an hour and group there may be two.
CREATE VIEW usage_parts AS
SELECT
  start, chain_name, provider_id, model, caller, requests, errors, cancelled, rate_limited, waterfalls, ttft_requests,
  prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
  prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms,
  latencies, ttfts,
  failed_latencies, failed_ttfts
FROM usage_buckets JOIN usage_groups USING (group_id)
UNION ALL
SELECT
  start, chain_name, provider_id, model, caller, requests, errors, cancelled, rate_limited, waterfalls, ttft_requests,
  prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
  prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms,
  latencies, ttfts,
  failed_latencies, failed_ttfts
FROM unfolded_usage;

CREATE VIEW attempt_parts AS
SELECT * FROM attempt_buckets
UNION ALL
SELECT * FROM unfolded_attempts;
