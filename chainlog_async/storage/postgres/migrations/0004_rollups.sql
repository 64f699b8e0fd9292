-- Rolls up one dimension of one span that is not rolled up yet and ended before `until` (ms, UTC), the shortest spans
-- first. Returns whether there may be more; NULL when another process folds or rolls up now. Only spans that begin at
-- `since` or later are looked for. What has fewer buckets than `fewest_buckets`, or fewer of them for each line that they
-- would be added up to than `fewest_for_a_line`, is not rolled up: reading the buckets takes no time then.
CREATE FUNCTION roll_up(since bigint, until bigint, fewest_buckets bigint, fewest_for_a_line bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET work_mem = '64MB' AS $$
DECLARE
  span record;
  kind rollup_dimensions;
  bucket_count bigint;
  line_count bigint;
  span_width bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(lock_class('batches'), 0) THEN
    RETURN NULL;
  END IF;
  FOREACH span_width IN ARRAY ARRAY[3600000, 14400000, 43200000, 86400000] LOOP
    WITH RECURSIVE spans (start) AS (
      SELECT min(start) / span_width * span_width FROM usage_buckets WHERE start >= since
      UNION ALL
      SELECT (SELECT min(b.start) FROM usage_buckets AS b WHERE b.start >= spans.start + span_width)
        / span_width * span_width
      FROM spans WHERE spans.start + span_width < until
    )
    SELECT spans.start, span_width AS width, COALESCE(r.tried, 0) AS tried INTO span
    FROM spans LEFT JOIN rolled_up AS r ON r.width = span_width AND r.start = spans.start
    WHERE spans.start + span_width <= until AND COALESCE(r.tried, 0) <> 4095
    ORDER BY spans.start LIMIT 1;
    EXIT WHEN FOUND;
  END LOOP;
  IF span.start IS NULL THEN
    RETURN FALSE;
  END IF;

  SELECT count(*) INTO bucket_count FROM usage_buckets WHERE start >= span.start AND start < span.start + span.width;
  IF bucket_count < fewest_buckets THEN
    INSERT INTO rolled_up (width, start, dimensions, tried) VALUES (span.width, span.start, 0, 4095)
    ON CONFLICT (width, start) DO UPDATE SET tried = 4095;
    RETURN TRUE;
  END IF;
  SELECT * INTO kind FROM rollup_dimensions WHERE bit & span.tried = 0 ORDER BY bit LIMIT 1;

  DELETE FROM usage_rollups WHERE width = span.width AND dimension = kind.dimension AND start = span.start;
  WITH parts AS MATERIALIZED (
    SELECT
      CASE WHEN kind.by_chain THEN chain_name ELSE '' END AS chain,
      CASE WHEN kind.by_provider THEN provider_id ELSE '' END AS provider,
      CASE WHEN kind.by_model THEN model ELSE '' END AS name,
      CASE WHEN kind.by_caller THEN caller ELSE '' END AS who, b.*
    FROM usage_buckets AS b JOIN usage_groups USING (group_id)
    WHERE start >= span.start AND start < span.start + span.width
  ),
  bins AS (
    SELECT
      chain, provider, name, who, value & 511 AS bin,
      sum(value >> 9) FILTER (WHERE histogram = 1) AS latencies,
      sum(value >> 9) FILTER (WHERE histogram = 2) AS ttfts,
      sum(value >> 9) FILTER (WHERE histogram = 3) AS failed_latencies,
      sum(value >> 9) FILTER (WHERE histogram = 4) AS failed_ttfts
    FROM parts CROSS JOIN LATERAL (
      SELECT 1 AS histogram, value FROM unnest(latencies) AS value
      UNION ALL SELECT 2, value FROM unnest(ttfts) AS value
      UNION ALL SELECT 3, value FROM unnest(failed_latencies) AS value
      UNION ALL SELECT 4, value FROM unnest(failed_ttfts) AS value
    ) AS histograms
    GROUP BY 1, 2, 3, 4, 5
  ),
  histograms AS (
    SELECT
      chain, provider, name, who,
      array_agg(512 * latencies::bigint + bin ORDER BY bin) FILTER (WHERE latencies > 0) AS latencies,
      array_agg(512 * ttfts::bigint + bin ORDER BY bin) FILTER (WHERE ttfts > 0) AS ttfts,
      array_agg(512 * failed_latencies::bigint + bin ORDER BY bin) FILTER (WHERE failed_latencies > 0)
        AS failed_latencies,
      array_agg(512 * failed_ttfts::bigint + bin ORDER BY bin) FILTER (WHERE failed_ttfts > 0) AS failed_ttfts
    FROM bins GROUP BY 1, 2, 3, 4
  ),
  sums AS (
    SELECT
      chain, provider, name, who,
      sum(requests)::bigint AS requests, sum(errors)::bigint AS errors, sum(cancelled)::bigint AS cancelled,
      sum(rate_limited)::bigint AS rate_limited, sum(waterfalls)::bigint AS waterfalls,
      sum(ttft_requests)::bigint AS ttft_requests, sum(prompt_tokens) AS prompt_tokens,
      sum(completion_tokens) AS completion_tokens, sum(cached_tokens) AS cached_tokens,
      sum(total_tokens) AS total_tokens, sum(cost_nanos) AS cost_nanos, sum(latency_ms) AS latency_ms,
      sum(ttft_ms) AS ttft_ms
    FROM parts GROUP BY 1, 2, 3, 4
  ),
  new_groups AS (
    INSERT INTO usage_groups (group_id, chain_name, provider_id, model, caller)
    SELECT group_of(chain, provider, name, who), chain, provider, name, who FROM sums
    ON CONFLICT (group_id) DO NOTHING
  )
  INSERT INTO usage_rollups (
    width, dimension, start, group_id, requests, errors, cancelled, rate_limited, waterfalls, ttft_requests,
    prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_nanos, latency_ms, ttft_ms,
    latencies, ttfts, failed_latencies, failed_ttfts
  )
  SELECT
    span.width, kind.dimension, span.start, group_of(chain, provider, name, who), requests, errors, cancelled,
    rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_nanos,
    latency_ms, ttft_ms, COALESCE(latencies, '{}'), COALESCE(ttfts, '{}'), COALESCE(failed_latencies, '{}'),
    COALESCE(failed_ttfts, '{}')
  FROM sums LEFT JOIN histograms USING (chain, provider, name, who);
  GET DIAGNOSTICS line_count = ROW_COUNT;

  IF bucket_count < fewest_for_a_line * line_count THEN
    DELETE FROM usage_rollups WHERE width = span.width AND dimension = kind.dimension AND start = span.start;
  END IF;
  INSERT INTO rolled_up AS r (width, start, dimensions, tried)
  VALUES (
    span.width, span.start, CASE WHEN bucket_count < fewest_for_a_line * line_count THEN 0 ELSE kind.bit END, kind.bit
  )
  ON CONFLICT (width, start) DO UPDATE SET
    dimensions = r.dimensions | excluded.dimensions, tried = r.tried | excluded.tried;

  -- Attempts by day: a quarter of an hour has only a line for each model anyway. Valid where a day is, by provider and
  -- model.
  IF span.width = 86400000 AND kind.dimension = 'provider+model' THEN
    DELETE FROM attempt_rollups WHERE start = span.start;
    INSERT INTO attempt_rollups (
      start, provider_id, model, tries, successes, rate_limited, failures,
      last_error, last_error_status, last_error_at, last_error_id
    )
    SELECT
      span.start, provider_id, model, sum(tries), sum(successes), sum(rate_limited), sum(failures),
      (array_agg(last_error ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1],
      (array_agg(last_error_status ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1],
      max(last_error_at),
      (array_agg(last_error_id ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1]
    FROM attempt_buckets WHERE start >= span.start AND start < span.start + span.width
    GROUP BY 2, 3;
  END IF;
  RETURN TRUE;
END $$;
