-- Rolls up one dimension of one span of time that has at least `fewest_buckets` buckets.
CREATE FUNCTION roll_up_span(span_width bigint, span_start bigint, dim text, bucket_count bigint, fewest_for_a_line bigint)
RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  kind rollup_dimensions;
  line_count bigint;
BEGIN
  SELECT * INTO kind FROM rollup_dimensions WHERE dimension = dim;
  DELETE FROM usage_rollups WHERE width = span_width AND dimension = kind.dimension AND start = span_start;
  WITH parts AS MATERIALIZED (
    SELECT
      CASE WHEN kind.by_chain THEN chain_name ELSE '' END AS chain,
      CASE WHEN kind.by_provider THEN provider_id ELSE '' END AS provider,
      CASE WHEN kind.by_model THEN model ELSE '' END AS name,
      CASE WHEN kind.by_caller THEN caller ELSE '' END AS who, b.*
    FROM usage_buckets AS b JOIN usage_groups USING (group_id)
    WHERE start >= span_start AND start < span_start + span_width
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
    span_width, kind.dimension, span_start, group_of(chain, provider, name, who), requests, errors, cancelled,
    rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_nanos,
    latency_ms, ttft_ms, COALESCE(latencies, '{}'), COALESCE(ttfts, '{}'), COALESCE(failed_latencies, '{}'),
    COALESCE(failed_ttfts, '{}')
  FROM sums LEFT JOIN histograms USING (chain, provider, name, who);
  GET DIAGNOSTICS line_count = ROW_COUNT;

  IF bucket_count < fewest_for_a_line * line_count THEN
    DELETE FROM usage_rollups WHERE width = span_width AND dimension = kind.dimension AND start = span_start;
  END IF;
  INSERT INTO rolled_up AS r (width, start, dimensions, tried)
  VALUES (
    span_width, span_start, CASE WHEN bucket_count < fewest_for_a_line * line_count THEN 0 ELSE kind.bit END, kind.bit
  )
  ON CONFLICT (width, start) DO UPDATE SET
    dimensions = r.dimensions | excluded.dimensions, tried = r.tried | excluded.tried;

  -- Attempts by day: a quarter of an hour has only a line for each model anyway. Valid where a day is, by provider and
  -- model.
  IF span_width = 86400000 AND kind.dimension = 'provider+model' THEN
    DELETE FROM attempt_rollups WHERE start = span_start;
    INSERT INTO attempt_rollups (
      start, provider_id, model, tries, successes, rate_limited, failures,
      last_error, last_error_status, last_error_at, last_error_id
    )
    SELECT
      span_start, provider_id, model, sum(tries), sum(successes), sum(rate_limited), sum(failures),
      (array_agg(last_error ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1],
      (array_agg(last_error_status ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1],
      max(last_error_at),
      (array_agg(last_error_id ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1]
    FROM attempt_buckets WHERE start >= span_start AND start < span_start + span_width
    GROUP BY 2, 3;
  END IF;
END $$;

-- Rolls up what began at `since` or later, ended before `until` (ms, UTC) and is not rolled up yet, the shortest spans first, for about `budget_ms`.
-- Returns whether there is more; NULL when another process folds or rolls up now. What has fewer buckets than
-- `fewest_buckets`, or fewer of them for each line that they would be added up to than `fewest_for_a_line`, is not rolled
-- up: reading the buckets takes no time then.
CREATE FUNCTION roll_up(
  since bigint, until bigint, fewest_buckets bigint, fewest_for_a_line bigint, budget_ms integer
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET work_mem = '64MB' SET jit = off AS $$
DECLARE
  ends_at CONSTANT timestamptz := clock_timestamp() + budget_ms * interval '1 ms';
  span_width bigint;
  span_start bigint;
  span_tried integer;
  bucket_count bigint;
  kind rollup_dimensions;
BEGIN
  IF NOT pg_try_advisory_xact_lock(lock_class('batches'), 0) THEN
    RETURN NULL;
  END IF;
  FOREACH span_width IN ARRAY ARRAY[3600000, 14400000, 43200000, 86400000] LOOP
    SELECT min(b.start) / span_width * span_width INTO span_start FROM usage_buckets AS b WHERE b.start >= since;
    WHILE span_start + span_width <= until LOOP
      SELECT COALESCE(max(r.tried), 0) INTO span_tried FROM rolled_up AS r
      WHERE r.width = span_width AND r.start = span_start;
      IF span_tried = 0 THEN
        SELECT count(*) INTO bucket_count FROM usage_buckets AS b
        WHERE b.start >= span_start AND b.start < span_start + span_width;
        IF bucket_count < fewest_buckets THEN
          INSERT INTO rolled_up (width, start, dimensions, tried) VALUES (span_width, span_start, 0, 4095);
          span_tried := 4095;
        END IF;
      END IF;
      IF span_tried <> 4095 THEN
        SELECT count(*) INTO bucket_count FROM usage_buckets AS b
        WHERE b.start >= span_start AND b.start < span_start + span_width;
        FOR kind IN SELECT * FROM rollup_dimensions WHERE bit & span_tried = 0 ORDER BY bit LOOP
          IF clock_timestamp() > ends_at THEN
            RETURN TRUE;
          END IF;
          PERFORM roll_up_span(span_width, span_start, kind.dimension, bucket_count, fewest_for_a_line);
        END LOOP;
      END IF;
      SELECT min(b.start) / span_width * span_width INTO span_start FROM usage_buckets AS b
      WHERE b.start >= span_start + span_width;
    END LOOP;
  END LOOP;
  RETURN FALSE;
END $$;
