-- Classes of tokens, what the provider said of its answer, the session and tags of a request; and money that adds up:
-- sums of cost are whole nano-dollars, so they do not depend on their order.
ALTER TABLE request_logs ADD COLUMN cache_write_tokens INTEGER;
ALTER TABLE request_logs ADD COLUMN cache_write_1h_tokens INTEGER;
ALTER TABLE request_logs ADD COLUMN reasoning_tokens INTEGER;
ALTER TABLE request_logs ADD COLUMN prompt_audio_tokens INTEGER;
ALTER TABLE request_logs ADD COLUMN completion_audio_tokens INTEGER;
ALTER TABLE request_logs ADD COLUMN finish_reason TEXT;
ALTER TABLE request_logs ADD COLUMN service_tier TEXT;
ALTER TABLE request_logs ADD COLUMN response_id TEXT;
ALTER TABLE request_logs ADD COLUMN session_id TEXT;
ALTER TABLE request_logs ADD COLUMN tags TEXT;

-- The only rounding of a cost. Another program may have stored anything, of which 64 bits hold a billion dollars.
ALTER TABLE request_logs ADD COLUMN cost_nano INTEGER GENERATED ALWAYS AS (
  CAST(ROUND(MIN(cost_usd * 1e9, 1e18)) AS INTEGER)
) VIRTUAL;

-- As in 0006, with the new columns, which most lines end before. Because of the two LIMITs, SQLite does not merge the
-- two SELECTs into one, in which it would make the text of the line again for each column: 4 µs of 21 for a row.
DROP TRIGGER write_batch;

CREATE TRIGGER write_batch INSTEAD OF INSERT ON batches
WHEN NOT EXISTS (
  SELECT 1 FROM writer_positions WHERE writer_id = NEW.writer_id AND position >= NEW.end_position
)
BEGIN
  SELECT RAISE(ABORT, 'a part of this batch is committed already')
  WHERE EXISTS (
    SELECT 1 FROM writer_positions WHERE writer_id = NEW.writer_id AND position > NEW.start_position
  );

  INSERT INTO unfinished_batches (summary_id) VALUES (0);

  INSERT INTO request_logs (
    timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens,
    latency_ms, http_status, attempts, error_message,
    request_id, caller, ttft_ms, cost_usd, streamed, cached_tokens, metadata, attempt_trail,
    cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens,
    finish_reason, service_tier, response_id, session_id, tags
  )
  SELECT
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
    COALESCE(value ->> 6, (value ->> 4) + (value ->> 5)),
    CAST((value ->> 7) + 0.5 AS INTEGER), value ->> 8, value ->> 9, value ->> 10,
    value ->> 11, value ->> 12, CAST((value ->> 13) + 0.5 AS INTEGER), value ->> 14, value ->> 15, value ->> 16,
    value ->> 17, value ->> 18,
    longer ->> 19, longer ->> 20, longer ->> 21, longer ->> 22, longer ->> 23,
    longer ->> 24, longer ->> 25, longer ->> 26, longer ->> 27, longer ->> 28
  FROM (
    SELECT value, IIF(json_array_length(value) > 19, value, NULL) AS longer
    FROM json_each(CAST(NEW.lines AS TEXT)) LIMIT -1
  )
  LIMIT -1;

  INSERT INTO writer_positions (writer_id, position) VALUES (NEW.writer_id, NEW.end_position)
  ON CONFLICT (writer_id) DO UPDATE SET position = excluded.position;

  DELETE FROM unfinished_batches;
END;

-- `unanswered_cost_nano` is the part of `cost_nano` that went to attempts which did not answer.
ALTER TABLE usage_buckets ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_buckets ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_buckets ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_buckets ADD COLUMN prompt_audio_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_buckets ADD COLUMN completion_audio_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_buckets ADD COLUMN cost_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_buckets ADD COLUMN unanswered_cost_nano INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER update_usage_buckets;

DROP TRIGGER roll_up;

-- What the rows in the log cost, exactly; `cost_usd` then has what is left for the rows that were deleted.
-- @slices
INSERT INTO usage_buckets (
  start, chain_name, provider_id, model, caller, upper_ms,
  requests, errors, rate_limited, waterfalls, prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd,
  latency_ms, ttft_ms, ttft_requests, cost_nano
)
SELECT
  CAST(timestamp AS INTEGER) / 900000 * 900000, chain_name, provider_id, model, COALESCE(caller, ''),
  (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(latency_ms) ORDER BY upper_ms LIMIT 1),
  0, 0, 0, 0, 0, 0, 0, 0, -SUM(cost_usd), 0, 0, 0, SUM(cost_nano)
FROM request_logs
WHERE id > :after AND id <= :until AND cost_usd <> 0
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT DO UPDATE SET cost_usd = cost_usd + excluded.cost_usd, cost_nano = cost_nano + excluded.cost_nano;

-- Less than a billionth is what floating-point sums are off by, and no row.
UPDATE usage_buckets SET cost_usd = 0 WHERE cost_usd <> 0 AND ABS(cost_usd) * 1e18 <= cost_nano;

ALTER TABLE usage_by_provider ADD COLUMN total_cost_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_by_chain ADD COLUMN total_cost_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pruned_by_provider ADD COLUMN total_cost_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pruned_by_chain ADD COLUMN total_cost_nano INTEGER NOT NULL DEFAULT 0;

UPDATE pruned_by_provider SET total_cost_nano = summed.cost_nano
FROM (
  SELECT provider_id, SUM(CAST(ROUND(cost_usd * 1e9) AS INTEGER)) AS cost_nano
  FROM usage_buckets WHERE cost_usd <> 0 GROUP BY provider_id
) AS summed
WHERE summed.provider_id = pruned_by_provider.provider_id;

UPDATE pruned_by_chain SET total_cost_nano = summed.cost_nano
FROM (
  SELECT chain_name, SUM(CAST(ROUND(cost_usd * 1e9) AS INTEGER)) AS cost_nano
  FROM usage_buckets WHERE cost_usd <> 0 GROUP BY chain_name
) AS summed
WHERE summed.chain_name = pruned_by_chain.chain_name;

UPDATE usage_buckets SET cost_nano = cost_nano + CAST(ROUND(cost_usd * 1e9) AS INTEGER) WHERE cost_usd <> 0;

UPDATE usage_by_provider SET total_cost_nano = summed.cost_nano
FROM (SELECT provider_id, SUM(cost_nano) AS cost_nano FROM usage_buckets GROUP BY provider_id) AS summed
WHERE summed.provider_id = usage_by_provider.provider_id;

UPDATE usage_by_chain SET total_cost_nano = summed.cost_nano
FROM (SELECT chain_name, SUM(cost_nano) AS cost_nano FROM usage_buckets GROUP BY chain_name) AS summed
WHERE summed.chain_name = usage_by_chain.chain_name;

-- A reader of the release before still finds the column.
ALTER TABLE usage_buckets DROP COLUMN cost_usd;

ALTER TABLE usage_buckets ADD COLUMN cost_usd REAL GENERATED ALWAYS AS (cost_nano / 1e9) VIRTUAL;

CREATE TRIGGER update_usage_buckets AFTER INSERT ON request_logs
BEGIN
  INSERT INTO usage_buckets (
    start, chain_name, provider_id, model, caller, upper_ms,
    requests, errors, cancelled, rate_limited, waterfalls,
    prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano,
    latency_ms, ttft_ms, ttft_requests
  )
  VALUES (
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, NEW.chain_name, NEW.provider_id, NEW.model,
    COALESCE(NEW.caller, ''),
    (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(NEW.latency_ms) ORDER BY upper_ms LIMIT 1),
    1, NEW.outcome = 'failed', NEW.outcome = 'cancelled', NEW.http_status = 429, NEW.attempts > 1,
    NEW.prompt_tokens, NEW.completion_tokens, COALESCE(NEW.cached_tokens, 0),
    COALESCE(NEW.cache_write_tokens, 0), COALESCE(NEW.cache_write_1h_tokens, 0), COALESCE(NEW.reasoning_tokens, 0),
    COALESCE(NEW.prompt_audio_tokens, 0), COALESCE(NEW.completion_audio_tokens, 0), NEW.total_tokens,
    COALESCE(NEW.cost_nano, 0),
    CASE WHEN NEW.attempt_trail IS NULL THEN 0 ELSE (
      SELECT COALESCE(SUM(CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
      FROM json_each(NEW.attempt_trail)
      WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
    ) END,
    IIF(NEW.outcome = 'answered', NEW.latency_ms, 0),
    IIF(NEW.outcome = 'answered', COALESCE(NEW.ttft_ms, 0), 0), NEW.outcome = 'answered' AND NEW.ttft_ms IS NOT NULL
  )
  ON CONFLICT DO UPDATE SET
    requests = requests + 1,
    errors = errors + excluded.errors,
    cancelled = cancelled + excluded.cancelled,
    rate_limited = rate_limited + excluded.rate_limited,
    waterfalls = waterfalls + excluded.waterfalls,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    cached_tokens = cached_tokens + excluded.cached_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    cache_write_1h_tokens = cache_write_1h_tokens + excluded.cache_write_1h_tokens,
    reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
    prompt_audio_tokens = prompt_audio_tokens + excluded.prompt_audio_tokens,
    completion_audio_tokens = completion_audio_tokens + excluded.completion_audio_tokens,
    total_tokens = total_tokens + excluded.total_tokens,
    cost_nano = cost_nano + excluded.cost_nano,
    unanswered_cost_nano = unanswered_cost_nano + excluded.unanswered_cost_nano,
    latency_ms = latency_ms + excluded.latency_ms,
    ttft_ms = ttft_ms + excluded.ttft_ms,
    ttft_requests = ttft_requests + excluded.ttft_requests;
END;

DROP TRIGGER update_provider_usage;

CREATE TRIGGER update_provider_usage AFTER INSERT ON request_logs
BEGIN
  INSERT INTO usage_by_provider (
    provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp,
    total_cost_nano
  )
  VALUES (NEW.provider_id, 1, NEW.total_tokens, NEW.prompt_tokens, NEW.completion_tokens, NEW.timestamp,
    COALESCE(NEW.cost_nano, 0))
  ON CONFLICT (provider_id) DO UPDATE SET
    total_requests = total_requests + 1,
    total_tokens = total_tokens + excluded.total_tokens,
    total_prompt_tokens = total_prompt_tokens + excluded.total_prompt_tokens,
    total_completion_tokens = total_completion_tokens + excluded.total_completion_tokens,
    last_request_timestamp = MAX(last_request_timestamp, excluded.last_request_timestamp),
    total_cost_nano = total_cost_nano + excluded.total_cost_nano;
END;

DROP TRIGGER update_chain_usage;

CREATE TRIGGER update_chain_usage AFTER INSERT ON request_logs
BEGIN
  INSERT INTO usage_by_chain (
    chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp,
    total_cost_nano
  )
  VALUES (NEW.chain_name, 1, NEW.total_tokens, NEW.prompt_tokens, NEW.completion_tokens, NEW.timestamp,
    COALESCE(NEW.cost_nano, 0))
  ON CONFLICT (chain_name) DO UPDATE SET
    total_requests = total_requests + 1,
    total_tokens = total_tokens + excluded.total_tokens,
    total_prompt_tokens = total_prompt_tokens + excluded.total_prompt_tokens,
    total_completion_tokens = total_completion_tokens + excluded.total_completion_tokens,
    last_request_timestamp = MAX(last_request_timestamp, excluded.last_request_timestamp),
    total_cost_nano = total_cost_nano + excluded.total_cost_nano;
END;

DROP TRIGGER remember_pruned;

CREATE TRIGGER remember_pruned AFTER DELETE ON request_logs
BEGIN
  INSERT INTO pruned_by_provider (
    provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp,
    total_cost_nano
  )
  VALUES (OLD.provider_id, 1, OLD.total_tokens, OLD.prompt_tokens, OLD.completion_tokens, OLD.timestamp,
    COALESCE(OLD.cost_nano, 0))
  ON CONFLICT (provider_id) DO UPDATE SET
    total_requests = total_requests + 1,
    total_tokens = total_tokens + excluded.total_tokens,
    total_prompt_tokens = total_prompt_tokens + excluded.total_prompt_tokens,
    total_completion_tokens = total_completion_tokens + excluded.total_completion_tokens,
    last_request_timestamp = MAX(last_request_timestamp, excluded.last_request_timestamp),
    total_cost_nano = total_cost_nano + excluded.total_cost_nano;

  INSERT INTO pruned_by_chain (
    chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp,
    total_cost_nano
  )
  VALUES (OLD.chain_name, 1, OLD.total_tokens, OLD.prompt_tokens, OLD.completion_tokens, OLD.timestamp,
    COALESCE(OLD.cost_nano, 0))
  ON CONFLICT (chain_name) DO UPDATE SET
    total_requests = total_requests + 1,
    total_tokens = total_tokens + excluded.total_tokens,
    total_prompt_tokens = total_prompt_tokens + excluded.total_prompt_tokens,
    total_completion_tokens = total_completion_tokens + excluded.total_completion_tokens,
    last_request_timestamp = MAX(last_request_timestamp, excluded.last_request_timestamp),
    total_cost_nano = total_cost_nano + excluded.total_cost_nano;

  UPDATE pruned_summary SET
    total_requests = total_requests + 1,
    waterfall_requests = waterfall_requests + (OLD.attempts > 1),
    total_latency_ms = total_latency_ms + OLD.latency_ms
  WHERE id = 1;
END;

-- What was rolled up is rolled up again from the buckets, in the background.
DELETE FROM rolled_up;

DELETE FROM usage_rollups;

DELETE FROM duration_rollups;

DELETE FROM attempt_rollups;

ALTER TABLE usage_rollups ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN prompt_audio_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN completion_audio_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN cost_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN unanswered_cost_nano INTEGER NOT NULL DEFAULT 0;

ALTER TABLE usage_rollups DROP COLUMN cost_usd;

ALTER TABLE usage_rollups ADD COLUMN cost_usd REAL GENERATED ALWAYS AS (cost_nano / 1e9) VIRTUAL;

CREATE TRIGGER roll_up INSTEAD OF INSERT ON to_roll_up
BEGIN
  DELETE FROM usage_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start;

  DELETE FROM duration_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start;

  INSERT INTO usage_rollups (
    width, dimension, start, chain_name, provider_id, model, caller, requests, errors, cancelled, rate_limited,
    waterfalls, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano,
    latency_ms, ttft_ms, ttft_requests
  )
  SELECT
    NEW.width, NEW.dimension, NEW.start, chain, provider, name, who,
    SUM(requests), SUM(errors), SUM(cancelled), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens),
    SUM(completion_tokens), SUM(cached_tokens), SUM(cache_write_tokens), SUM(cache_write_1h_tokens),
    SUM(reasoning_tokens), SUM(prompt_audio_tokens), SUM(completion_audio_tokens), SUM(total_tokens), SUM(cost_nano),
    SUM(unanswered_cost_nano), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
  FROM (
    SELECT
      IIF(by_chain, chain_name, '') AS chain, IIF(by_provider, provider_id, '') AS provider,
      IIF(by_model, model, '') AS name, IIF(by_caller, caller, '') AS who, requests, errors, cancelled,
      rate_limited, waterfalls, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
      cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano,
      unanswered_cost_nano, latency_ms, ttft_ms, ttft_requests
    FROM rollup_dimensions CROSS JOIN usage_buckets
    WHERE NEW.part_width = 0 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
    UNION ALL
    SELECT
      chain_name, provider_id, model, caller, requests, errors, cancelled, rate_limited, waterfalls,
      prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
      cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano,
      unanswered_cost_nano, latency_ms, ttft_ms, ttft_requests
    FROM usage_rollups
    WHERE NEW.part_width > 0 AND width = NEW.part_width AND dimension = NEW.dimension
      AND start >= NEW.start AND start < NEW.start + NEW.width
  )
  GROUP BY chain, provider, name, who;

  DELETE FROM usage_rollups
  WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start
    AND (SELECT COUNT(*) FROM usage_buckets WHERE start >= NEW.start AND start < NEW.start + NEW.width) < (
      SELECT MAX(fewest_buckets, fewest_for_a_line * (
        SELECT COUNT(*) FROM usage_rollups
        WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start
      ))
      FROM rollup_progress
    );

  DELETE FROM attempt_rollups
  WHERE start = NEW.start AND NEW.width = 86400000 AND NEW.dimension = 'provider+model';

  -- MAX alone of its kind: the error is then taken from the row with the largest time.
  INSERT INTO attempt_rollups
  SELECT
    NEW.start, provider_id, model, SUM(tries), SUM(successes), SUM(rate_limited), SUM(failures),
    last_error, last_error_status, MAX(last_error_at)
  FROM attempt_buckets
  WHERE NEW.width = 86400000 AND NEW.dimension = 'provider+model'
    AND start >= NEW.start AND start < NEW.start + NEW.width
  GROUP BY provider_id, model;

  -- A percentile is the first bin at which the answered requests so far are at least that share of all answered ones.
  INSERT INTO duration_rollups (
    width, dimension, start, chain_name, provider_id, model, caller, latency_p50, latency_p90, latency_p95, latency_p99,
    slowest_bin, ttft_p50, ttft_p90, ttft_p95, ttft_p99, latencies, ttfts, failed_latencies, failed_ttfts
  )
  SELECT
    NEW.width, NEW.dimension, NEW.start, chain, provider, name, who,
    MIN(IIF(all_latencies > 0 AND latency_rank >= 50 * all_latencies, number, NULL)),
    MIN(IIF(all_latencies > 0 AND latency_rank >= 90 * all_latencies, number, NULL)),
    MIN(IIF(all_latencies > 0 AND latency_rank >= 95 * all_latencies, number, NULL)),
    MIN(IIF(all_latencies > 0 AND latency_rank >= 99 * all_latencies, number, NULL)),
    MAX(IIF(latencies + failed_latencies > 0, number, NULL)),
    MIN(IIF(all_ttfts > 0 AND ttft_rank >= 50 * all_ttfts, number, NULL)),
    MIN(IIF(all_ttfts > 0 AND ttft_rank >= 90 * all_ttfts, number, NULL)),
    MIN(IIF(all_ttfts > 0 AND ttft_rank >= 95 * all_ttfts, number, NULL)),
    MIN(IIF(all_ttfts > 0 AND ttft_rank >= 99 * all_ttfts, number, NULL)),
    json_group_array(512 * latencies + number) FILTER (WHERE latencies > 0),
    json_group_array(512 * ttfts + number) FILTER (WHERE ttfts > 0),
    json_group_array(512 * failed_latencies + number) FILTER (WHERE failed_latencies > 0),
    json_group_array(512 * failed_ttfts + number) FILTER (WHERE failed_ttfts > 0)
  FROM (
    SELECT
      chain, provider, name, who, number, latencies, ttfts, failed_latencies, failed_ttfts,
      100 * SUM(latencies) OVER up_to_here AS latency_rank, SUM(latencies) OVER everywhere AS all_latencies,
      100 * SUM(ttfts) OVER up_to_here AS ttft_rank, SUM(ttfts) OVER everywhere AS all_ttfts
    FROM (
      SELECT
        chain, provider, name, who, number, SUM(latencies) AS latencies, SUM(ttfts) AS ttfts,
        SUM(failed_latencies) AS failed_latencies, SUM(failed_ttfts) AS failed_ttfts
      FROM (
        SELECT
          IIF(by_chain, chain_name, '') AS chain, IIF(by_provider, provider_id, '') AS provider,
          IIF(by_model, model, '') AS name, IIF(by_caller, caller, '') AS who, number,
          requests - errors - cancelled AS latencies, 0 AS ttfts, errors + cancelled AS failed_latencies,
          0 AS failed_ttfts
        FROM rollup_dimensions CROSS JOIN usage_buckets CROSS JOIN duration_bins USING (upper_ms)
        WHERE NEW.part_width = 0 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
        UNION ALL
        SELECT
          IIF(by_chain, chain_name, ''), IIF(by_provider, provider_id, ''), IIF(by_model, model, ''),
          IIF(by_caller, caller, ''), number, 0, requests - failed, 0, failed
        FROM rollup_dimensions CROSS JOIN ttft_buckets CROSS JOIN duration_bins USING (upper_ms)
        WHERE NEW.part_width = 0 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
        UNION ALL
        SELECT chain_name, provider_id, model, caller, value & 511, value >> 9, 0, 0, 0
        FROM duration_rollups CROSS JOIN json_each(duration_rollups.latencies)
        WHERE NEW.part_width > 0 AND width = NEW.part_width AND dimension = NEW.dimension
          AND start >= NEW.start AND start < NEW.start + NEW.width
        UNION ALL
        SELECT chain_name, provider_id, model, caller, value & 511, 0, value >> 9, 0, 0
        FROM duration_rollups CROSS JOIN json_each(duration_rollups.ttfts)
        WHERE NEW.part_width > 0 AND width = NEW.part_width AND dimension = NEW.dimension
          AND start >= NEW.start AND start < NEW.start + NEW.width
        UNION ALL
        SELECT chain_name, provider_id, model, caller, value & 511, 0, 0, value >> 9, 0
        FROM duration_rollups CROSS JOIN json_each(duration_rollups.failed_latencies)
        WHERE NEW.part_width > 0 AND width = NEW.part_width AND dimension = NEW.dimension
          AND start >= NEW.start AND start < NEW.start + NEW.width
        UNION ALL
        SELECT chain_name, provider_id, model, caller, value & 511, 0, 0, 0, value >> 9
        FROM duration_rollups CROSS JOIN json_each(duration_rollups.failed_ttfts)
        WHERE NEW.part_width > 0 AND width = NEW.part_width AND dimension = NEW.dimension
          AND start >= NEW.start AND start < NEW.start + NEW.width
      )
      WHERE EXISTS (
        SELECT 1 FROM usage_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start
      )
      GROUP BY chain, provider, name, who, number
    )
    WINDOW
      up_to_here AS (PARTITION BY chain, provider, name, who ORDER BY number),
      everywhere AS (PARTITION BY chain, provider, name, who)
  )
  GROUP BY chain, provider, name, who;
END;
