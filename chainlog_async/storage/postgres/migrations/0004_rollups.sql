-- Rollups are derived from buckets, and from each other: an hour is added up from its quarters, four hours from hours,
-- and so on up to a day. Three functions make the lines of one span: of names and pairs of them from the buckets, of all
-- four names from the buckets, and from the next shorter rollups where these have the dimension.

-- One pass over the buckets for all dimensions but 'each', of which those in `wanted` (a sum of bits) are kept.
CREATE FUNCTION roll_up_names(span_width bigint, span_start bigint, wanted integer) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
  WITH kinds AS MATERIALIZED (
    -- As `GROUPING` numbers them: a bit for each name that a line does not have.
    SELECT
      dimension, 8 * (NOT by_chain)::integer + 4 * (NOT by_provider)::integer + 2 * (NOT by_model)::integer
      + (NOT by_caller)::integer AS missing
    FROM rollup_dimensions WHERE bit & wanted <> 0
  ),
  parts AS MATERIALIZED (
    SELECT chain_name, provider_id, model, caller, b.*
    FROM usage_buckets AS b JOIN usage_groups USING (group_id)
    WHERE start >= span_start AND start < span_start + span_width
  ),
  sums AS MATERIALIZED (
    SELECT
      GROUPING(chain_name, provider_id, model, caller) AS missing,
      COALESCE(chain_name, '') AS chain, COALESCE(provider_id, '') AS provider, COALESCE(model, '') AS name,
      COALESCE(caller, '') AS who,
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
      sum(ttft_ms) AS ttft_ms
    FROM parts
    GROUP BY GROUPING SETS (
      (), (chain_name), (provider_id), (model), (caller), (chain_name, provider_id), (chain_name, model),
      (chain_name, caller), (provider_id, model), (provider_id, caller), (model, caller)
    )
    HAVING count(*) > 0
  ),
  bins AS (
    SELECT
      GROUPING(chain_name, provider_id, model, caller) AS missing,
      COALESCE(chain_name, '') AS chain, COALESCE(provider_id, '') AS provider, COALESCE(model, '') AS name,
      COALESCE(caller, '') AS who, histogram, value & 511 AS bin, sum(value >> 9)::bigint AS count
    FROM parts CROSS JOIN LATERAL (
      SELECT 1 AS histogram, value FROM unnest(latencies) AS value
      UNION ALL SELECT 2, value FROM unnest(ttfts) AS value
      UNION ALL SELECT 3, value FROM unnest(failed_latencies) AS value
      UNION ALL SELECT 4, value FROM unnest(failed_ttfts) AS value
    ) AS histograms
    GROUP BY histogram, value & 511, GROUPING SETS (
      (), (chain_name), (provider_id), (model), (caller), (chain_name, provider_id), (chain_name, model),
      (chain_name, caller), (provider_id, model), (provider_id, caller), (model, caller)
    )
  ),
  histograms AS (
    SELECT
      missing, chain, provider, name, who,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 1) AS latencies,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 2) AS ttfts,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 3) AS failed_latencies,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 4) AS failed_ttfts
    FROM bins GROUP BY 1, 2, 3, 4, 5
  ),
  made AS (
    SELECT dimension, group_of(chain, provider, name, who) AS group_id, sums.*, latencies, ttfts, failed_latencies,
      failed_ttfts
    FROM sums JOIN kinds USING (missing) LEFT JOIN histograms USING (missing, chain, provider, name, who)
  ),
  new_groups AS (
    INSERT INTO usage_groups (group_id, chain_name, provider_id, model, caller)
    SELECT DISTINCT group_id, chain, provider, name, who FROM made
    ON CONFLICT (group_id) DO NOTHING
  )
  INSERT INTO usage_rollups (
    width, dimension, start, group_id, requests, errors, cancelled, rate_limited, waterfalls, ttft_requests,
    prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
    prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms,
    latencies, ttfts, failed_latencies, failed_ttfts
  )
  SELECT
    span_width, dimension, span_start, group_id, requests, errors, cancelled, rate_limited, waterfalls,
    ttft_requests, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano,
    latency_ms, ttft_ms,
    COALESCE(latencies, '{}'), COALESCE(ttfts, '{}'), COALESCE(failed_latencies, '{}'), COALESCE(failed_ttfts, '{}')
  FROM made
$$;

-- All four names, from the buckets.
CREATE FUNCTION roll_up_each(span_width bigint, span_start bigint) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
  WITH parts AS MATERIALIZED (
    SELECT * FROM usage_buckets WHERE start >= span_start AND start < span_start + span_width
  ),
  sums AS (
    SELECT
      group_id,
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
      sum(ttft_ms) AS ttft_ms
    FROM parts GROUP BY group_id
  ),
  bins AS (
    SELECT group_id, histogram, value & 511 AS bin, sum(value >> 9)::bigint AS count
    FROM parts CROSS JOIN LATERAL (
      SELECT 1 AS histogram, value FROM unnest(latencies) AS value
      UNION ALL SELECT 2, value FROM unnest(ttfts) AS value
      UNION ALL SELECT 3, value FROM unnest(failed_latencies) AS value
      UNION ALL SELECT 4, value FROM unnest(failed_ttfts) AS value
    ) AS histograms
    GROUP BY 1, 2, 3
  ),
  histograms AS (
    SELECT
      group_id,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 1) AS latencies,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 2) AS ttfts,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 3) AS failed_latencies,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 4) AS failed_ttfts
    FROM bins GROUP BY group_id
  )
  INSERT INTO usage_rollups (
    width, dimension, start, group_id, requests, errors, cancelled, rate_limited, waterfalls, ttft_requests,
    prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
    prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms,
    latencies, ttfts, failed_latencies, failed_ttfts
  )
  SELECT
    span_width, 'each', span_start, group_id, requests, errors, cancelled, rate_limited, waterfalls,
    ttft_requests, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano,
    latency_ms, ttft_ms,
    COALESCE(latencies, '{}'), COALESCE(ttfts, '{}'), COALESCE(failed_latencies, '{}'), COALESCE(failed_ttfts, '{}')
  FROM sums LEFT JOIN histograms USING (group_id)
$$;

-- The dimensions in `wanted` (a sum of bits), from shorter rollups.
CREATE FUNCTION roll_up_parts(span_width bigint, span_start bigint, part_width bigint, wanted integer) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
  WITH parts AS MATERIALIZED (
    SELECT r.* FROM usage_rollups AS r
    WHERE r.width = part_width AND r.dimension IN (SELECT dimension FROM rollup_dimensions WHERE bit & wanted <> 0)
      AND r.start >= span_start AND r.start < span_start + span_width
  ),
  sums AS (
    SELECT
      dimension, group_id,
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
      sum(ttft_ms) AS ttft_ms
    FROM parts GROUP BY dimension, group_id
  ),
  bins AS (
    SELECT dimension, group_id, histogram, value & 511 AS bin, sum(value >> 9)::bigint AS count
    FROM parts CROSS JOIN LATERAL (
      SELECT 1 AS histogram, value FROM unnest(latencies) AS value
      UNION ALL SELECT 2, value FROM unnest(ttfts) AS value
      UNION ALL SELECT 3, value FROM unnest(failed_latencies) AS value
      UNION ALL SELECT 4, value FROM unnest(failed_ttfts) AS value
    ) AS histograms
    GROUP BY 1, 2, 3, 4
  ),
  histograms AS (
    SELECT
      dimension, group_id,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 1) AS latencies,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 2) AS ttfts,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 3) AS failed_latencies,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 4) AS failed_ttfts
    FROM bins GROUP BY dimension, group_id
  )
  INSERT INTO usage_rollups (
    width, dimension, start, group_id, requests, errors, cancelled, rate_limited, waterfalls, ttft_requests,
    prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
    prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms,
    latencies, ttfts, failed_latencies, failed_ttfts
  )
  SELECT
    span_width, dimension, span_start, group_id, requests, errors, cancelled, rate_limited, waterfalls,
    ttft_requests, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano,
    latency_ms, ttft_ms,
    COALESCE(latencies, '{}'), COALESCE(ttfts, '{}'), COALESCE(failed_latencies, '{}'), COALESCE(failed_ttfts, '{}')
  FROM sums LEFT JOIN histograms USING (dimension, group_id)
$$;

-- Attempts by day: a quarter of an hour has only a line for each model anyway. Valid where a day is, by provider and
-- model.
CREATE FUNCTION roll_up_attempts(day bigint) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
  DELETE FROM attempt_rollups WHERE start = day;
  INSERT INTO attempt_rollups (
    start, provider_id, model, tries, successes, rate_limited, failures,
    last_error, last_error_status, last_error_at, last_error_id
  )
  SELECT
    day, provider_id, model, sum(tries), sum(successes), sum(rate_limited), sum(failures),
    (array_agg(last_error ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1],
    (array_agg(last_error_status ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1],
    max(last_error_at),
    (array_agg(last_error_id ORDER BY last_error_at DESC NULLS LAST, last_error_id DESC))[1]
  FROM attempt_buckets WHERE start >= day AND start < day + 86400000
  GROUP BY 2, 3;
$$;

-- One span, in every dimension that pays: what has fewer than `fewest_for_a_line` buckets for each line is not kept,
-- since reading the buckets takes no time then. Quarters have no lines for all four names: those are the buckets.
CREATE FUNCTION roll_up_span(span_width bigint, span_start bigint, part_width bigint, fewest_for_a_line bigint)
RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  every CONSTANT integer := (SELECT sum(bit) FROM rollup_dimensions);
  each CONSTANT integer := (SELECT bit FROM rollup_dimensions WHERE dimension = 'each');
  of_parts integer := 0;
  kept integer;
  bucket_count CONSTANT bigint := (
    SELECT count(*) FROM usage_buckets WHERE start >= span_start AND start < span_start + span_width
  );
BEGIN
  DELETE FROM usage_rollups WHERE width = span_width AND start = span_start
    AND dimension IN (SELECT dimension FROM rollup_dimensions);
  IF part_width > 0 THEN
    SELECT COALESCE(bit_and(COALESCE(r.dimensions, 0)), 0) INTO of_parts
    FROM (
      SELECT DISTINCT b.start / part_width * part_width AS start FROM usage_buckets AS b
      WHERE b.start >= span_start AND b.start < span_start + span_width
    ) AS parts LEFT JOIN rolled_up AS r ON r.width = part_width AND r.start = parts.start;
    PERFORM roll_up_parts(span_width, span_start, part_width, of_parts);
    IF of_parts & each = 0 THEN
      PERFORM roll_up_each(span_width, span_start);
    END IF;
  END IF;
  IF (of_parts | each) <> every THEN
    PERFORM roll_up_names(span_width, span_start, every & ~(of_parts | each));
  END IF;
  WITH lines AS (
    SELECT dimension, bit, (
        SELECT count(*) FROM usage_rollups AS r
        WHERE r.width = span_width AND r.dimension = d.dimension AND r.start = span_start
      ) AS number
    FROM rollup_dimensions AS d
  ),
  too_many AS (
    DELETE FROM usage_rollups AS r USING lines
    WHERE r.width = span_width AND r.dimension = lines.dimension AND r.start = span_start
      AND bucket_count < fewest_for_a_line * lines.number
  )
  SELECT COALESCE(sum(bit), 0) INTO kept FROM lines WHERE number > 0 AND bucket_count >= fewest_for_a_line * number;
  INSERT INTO rolled_up (width, start, dimensions) VALUES (span_width, span_start, kept);
  IF span_width = 86400000 THEN
    PERFORM roll_up_attempts(span_start);
  END IF;
END $$;

-- Rolls up what began at `since` or later, ended before `until` (ms, UTC) and is not rolled up yet, the shortest spans
-- first, for about `budget_ms`. Returns whether there is more; NULL when another process folds or rolls up now. A span
-- with fewer buckets than `fewest_buckets` gets no lines; see `roll_up_span` for `fewest_for_a_line`.
CREATE FUNCTION roll_up(
  since bigint, until bigint, fewest_buckets bigint, fewest_for_a_line bigint, budget_ms integer
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET work_mem = '64MB' SET jit = off AS $$
DECLARE
  ends_at CONSTANT timestamptz := clock_timestamp() + budget_ms * interval '1 ms';
  widths CONSTANT bigint[] := ARRAY[900000, 3600000, 14400000, 43200000, 86400000];
  place integer;
  span_width bigint;
  span_start bigint;
  bucket_count bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(lock_class('batches'), 0) THEN
    RETURN NULL;
  END IF;
  FOR place IN 1 .. array_length(widths, 1) LOOP
    span_width := widths[place];
    SELECT min(b.start) / span_width * span_width INTO span_start FROM usage_buckets AS b WHERE b.start >= since;
    WHILE span_start + span_width <= until LOOP
      IF NOT EXISTS (SELECT 1 FROM rolled_up AS r WHERE r.width = span_width AND r.start = span_start) THEN
        IF clock_timestamp() > ends_at THEN
          RETURN TRUE;
        END IF;
        SELECT count(*) INTO bucket_count FROM (
          SELECT 1 FROM usage_buckets AS b WHERE b.start >= span_start AND b.start < span_start + span_width
          LIMIT fewest_buckets
        ) AS first_ones;
        IF bucket_count < fewest_buckets THEN
          INSERT INTO rolled_up (width, start, dimensions) VALUES (span_width, span_start, 0);
        ELSE
          PERFORM roll_up_span(span_width, span_start, COALESCE(widths[place - 1], 0), fewest_for_a_line);
        END IF;
      END IF;
      SELECT min(b.start) / span_width * span_width INTO span_start FROM usage_buckets AS b
      WHERE b.start >= span_start + span_width;
    END LOOP;
  END LOOP;
  RETURN FALSE;
END $$;
