-- Makes the totals by chain, provider and model anew from the buckets, which have what was pruned as well. Waits for
-- a process that folds.
CREATE FUNCTION recount_totals() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET work_mem = '64MB' AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(lock_class('batches'), 0);
  DELETE FROM usage_totals;
  DELETE FROM attempt_totals;
  WITH parts AS MATERIALIZED (
    SELECT chain_name, provider_id, model, b.* FROM usage_buckets AS b JOIN usage_groups USING (group_id)
  ),
  sums AS (
    SELECT
      chain_name, provider_id, model, min(start) AS first_start,
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
    FROM parts GROUP BY 1, 2, 3
  ),
  bins AS (
    SELECT chain_name, provider_id, model, histogram, value & 511 AS bin, sum(value >> 9)::bigint AS count
    FROM parts CROSS JOIN LATERAL (
      SELECT 1 AS histogram, value FROM unnest(latencies) AS value
      UNION ALL SELECT 2, value FROM unnest(ttfts) AS value
      UNION ALL SELECT 3, value FROM unnest(failed_latencies) AS value
    ) AS histograms
    GROUP BY 1, 2, 3, 4, 5
  ),
  histograms AS (
    SELECT
      chain_name, provider_id, model,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 1) AS latencies,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 2) AS ttfts,
      array_agg(512 * count + bin ORDER BY bin) FILTER (WHERE histogram = 3) AS failed_latencies
    FROM bins GROUP BY 1, 2, 3
  )
  INSERT INTO usage_totals (
    group_id, chain_name, provider_id, model, first_start, requests, errors, cancelled, rate_limited, waterfalls,
    ttft_requests, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano,
    latency_ms, ttft_ms,
    latencies, ttfts, failed_latencies
  )
  SELECT
    group_of(chain_name, provider_id, model, ''), chain_name, provider_id, model, first_start, requests, errors,
    cancelled, rate_limited, waterfalls, ttft_requests, prompt_tokens, completion_tokens, cached_tokens,
    cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens,
    total_tokens,
    cost_nano, unanswered_cost_nano, latency_ms, ttft_ms, COALESCE(latencies, '{}'), COALESCE(ttfts, '{}'),
    COALESCE(failed_latencies, '{}')
  FROM sums LEFT JOIN histograms USING (chain_name, provider_id, model);

  INSERT INTO attempt_totals (provider_id, model, first_start, tries, successes, rate_limited, failures)
  SELECT provider_id, model, min(start), sum(tries), sum(successes), sum(rate_limited), sum(failures)
  FROM attempt_buckets GROUP BY 1, 2;
END $$;

REVOKE EXECUTE ON FUNCTION recount_totals FROM PUBLIC;
