-- Requests by outcome. A request is cancelled when its client hung up (499), which is nobody's failure. It has failed
-- when its status is 400 or more, and when it has an error message and its last attempt failed all the same: a stream
-- that began with 200 may break. All others were answered. Failures are faster or slower than answers, so sums and
-- histograms of durations are of answered requests, and histograms of the others are kept apart.

ALTER TABLE request_logs ADD COLUMN outcome TEXT GENERATED ALWAYS AS (
  CASE
    WHEN http_status = 499 THEN 'cancelled'
    WHEN http_status >= 400 THEN 'failed'
    WHEN error_message IS NOT NULL AND attempt_trail IS NOT NULL AND (
      COALESCE(json_extract(attempt_trail, '$[#-1].http_status'), 599) >= 400
      OR json_extract(attempt_trail, '$[#-1].error_message') IS NOT NULL
    ) THEN 'failed'
    ELSE 'answered'
  END
) VIRTUAL;

-- `errors` are those of the outcome 'failed'; `latency_ms`, `ttft_ms` and `ttft_requests` are of answered requests.
ALTER TABLE usage_buckets ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;

-- Of `requests`, those that were not answered.
ALTER TABLE ttft_buckets ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;

ALTER TABLE usage_rollups ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;

ALTER TABLE duration_rollups ADD COLUMN failed_latencies TEXT NOT NULL DEFAULT '[]';

ALTER TABLE duration_rollups ADD COLUMN failed_ttfts TEXT NOT NULL DEFAULT '[]';

DROP TRIGGER update_usage_buckets;

CREATE TRIGGER update_usage_buckets AFTER INSERT ON request_logs
BEGIN
  INSERT INTO usage_buckets (
    start, chain_name, provider_id, model, caller, upper_ms,
    requests, errors, cancelled, rate_limited, waterfalls,
    prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd, latency_ms, ttft_ms, ttft_requests
  )
  VALUES (
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, NEW.chain_name, NEW.provider_id, NEW.model,
    COALESCE(NEW.caller, ''),
    (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(NEW.latency_ms) ORDER BY upper_ms LIMIT 1),
    1, NEW.outcome = 'failed', NEW.outcome = 'cancelled', NEW.http_status = 429, NEW.attempts > 1,
    NEW.prompt_tokens, NEW.completion_tokens, COALESCE(NEW.cached_tokens, 0), NEW.total_tokens,
    COALESCE(NEW.cost_usd, 0), IIF(NEW.outcome = 'answered', NEW.latency_ms, 0),
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
    total_tokens = total_tokens + excluded.total_tokens,
    cost_usd = cost_usd + excluded.cost_usd,
    latency_ms = latency_ms + excluded.latency_ms,
    ttft_ms = ttft_ms + excluded.ttft_ms,
    ttft_requests = ttft_requests + excluded.ttft_requests;
END;

DROP TRIGGER update_ttft_buckets;

CREATE TRIGGER update_ttft_buckets AFTER INSERT ON request_logs WHEN NEW.ttft_ms IS NOT NULL
BEGIN
  INSERT INTO ttft_buckets (start, chain_name, provider_id, model, caller, upper_ms, requests, failed)
  VALUES (
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, NEW.chain_name, NEW.provider_id, NEW.model,
    COALESCE(NEW.caller, ''),
    (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(NEW.ttft_ms) ORDER BY upper_ms LIMIT 1),
    1, NEW.outcome <> 'answered'
  )
  ON CONFLICT DO UPDATE SET requests = requests + 1, failed = failed + excluded.failed;
END;

DROP TRIGGER update_attempt_buckets;

CREATE TRIGGER update_attempt_buckets AFTER INSERT ON request_logs WHEN NEW.attempt_trail IS NULL AND NEW.attempts > 0
BEGIN
  INSERT INTO attempt_buckets (
    start, provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at
  )
  VALUES (
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, NEW.provider_id, NEW.model,
    1, NEW.http_status < 400, NEW.http_status = 429, NEW.http_status >= 400 AND NEW.http_status NOT IN (429, 499),
    CASE WHEN NEW.outcome = 'failed' THEN SUBSTR(NEW.error_message, 1, 500) END,
    CASE WHEN NEW.outcome = 'failed' THEN NEW.http_status END,
    CASE WHEN NEW.outcome = 'failed' THEN NEW.timestamp END
  )
  ON CONFLICT DO UPDATE SET
    tries = tries + 1,
    successes = successes + excluded.successes,
    rate_limited = rate_limited + excluded.rate_limited,
    failures = failures + excluded.failures,
    last_error = IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error, last_error),
    last_error_status =
      IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error_status, last_error_status),
    last_error_at = IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error_at, last_error_at);
END;

DROP TRIGGER update_attempt_buckets_by_trail;

-- A try without a status, as of a refused connection, has failed, and so has one with an error message: 599 stands for
-- both.
CREATE TRIGGER update_attempt_buckets_by_trail AFTER INSERT ON request_logs WHEN NEW.attempt_trail IS NOT NULL
BEGIN
  INSERT INTO attempt_buckets (
    start, provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at
  )
  SELECT
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, provider_id, model,
    1, status < 400, status = 429, status >= 400 AND status NOT IN (429, 499),
    CASE WHEN status >= 400 AND status <> 499 THEN SUBSTR(message, 1, 500) END,
    CASE WHEN status >= 400 AND status <> 499 THEN told END,
    CASE WHEN status >= 400 AND status <> 499 THEN NEW.timestamp END
  FROM (
    SELECT
      value ->> 'provider_id' AS provider_id, value ->> 'model' AS model, value ->> 'error_message' AS message,
      value ->> 'http_status' AS told,
      CASE
        WHEN value ->> 'http_status' >= 400 OR value ->> 'error_message' IS NULL
        THEN COALESCE(value ->> 'http_status', 599) ELSE 599
      END AS status
    FROM json_each(NEW.attempt_trail)
  )
  WHERE TRUE
  ON CONFLICT DO UPDATE SET
    tries = tries + 1,
    successes = successes + excluded.successes,
    rate_limited = rate_limited + excluded.rate_limited,
    failures = failures + excluded.failures,
    last_error = IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error, last_error),
    last_error_status =
      IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error_status, last_error_status),
    last_error_at = IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error_at, last_error_at);
END;

-- The rows that are in the log already. Of rows that were deleted only the buckets are left: there, clients that hung up
-- stay errors, and durations stay those of all requests.
-- @slices
INSERT INTO usage_buckets (
  start, chain_name, provider_id, model, caller, upper_ms,
  requests, errors, cancelled, rate_limited, waterfalls,
  prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd, latency_ms, ttft_ms, ttft_requests
)
SELECT
  CAST(timestamp AS INTEGER) / 900000 * 900000, chain_name, provider_id, model, COALESCE(caller, ''),
  (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(latency_ms) ORDER BY upper_ms LIMIT 1),
  0, SUM(outcome = 'failed') - SUM(http_status >= 400), SUM(outcome = 'cancelled'), 0, 0,
  0, 0, 0, 0, 0, -SUM(latency_ms), -SUM(COALESCE(ttft_ms, 0)), -COUNT(ttft_ms)
FROM request_logs
WHERE id > :after AND id <= :until AND outcome <> 'answered'
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT DO UPDATE SET
  errors = errors + excluded.errors,
  cancelled = cancelled + excluded.cancelled,
  latency_ms = latency_ms + excluded.latency_ms,
  ttft_ms = ttft_ms + excluded.ttft_ms,
  ttft_requests = ttft_requests + excluded.ttft_requests;

-- @slices
INSERT INTO ttft_buckets (start, chain_name, provider_id, model, caller, upper_ms, requests, failed)
SELECT
  CAST(timestamp AS INTEGER) / 900000 * 900000, chain_name, provider_id, model, COALESCE(caller, ''),
  (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(ttft_ms) ORDER BY upper_ms LIMIT 1), 0, COUNT(*)
FROM request_logs
WHERE id > :after AND id <= :until AND outcome <> 'answered' AND ttft_ms IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT DO UPDATE SET failed = failed + excluded.failed;

-- A client that hung up is no error of the provider's.
UPDATE attempt_buckets SET last_error = NULL, last_error_status = NULL, last_error_at = NULL
WHERE last_error_status = 499;

-- Tries with a status below 400 and an error message counted as successes. MAX alone of its kind: the error is then
-- taken from the row with the largest time.
-- @slices
INSERT INTO attempt_buckets (
  start, provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at
)
SELECT
  start, provider_id, model, 0, -SUM(COALESCE(told, 599) < 400), 0, SUM(COALESCE(told, 599) < 400),
  SUBSTR(message, 1, 500), told, MAX(timestamp)
FROM (
  SELECT
    CAST(timestamp AS INTEGER) / 900000 * 900000 AS start, provider_id, model, timestamp, http_status AS told,
    error_message AS message
  FROM request_logs
  WHERE id > :after AND id <= :until AND outcome = 'failed' AND attempt_trail IS NULL AND attempts > 0
  UNION ALL
  SELECT
    CAST(timestamp AS INTEGER) / 900000 * 900000, value ->> 'provider_id', value ->> 'model', timestamp,
    value ->> 'http_status', value ->> 'error_message'
  FROM request_logs CROSS JOIN json_each(attempt_trail)
  WHERE request_logs.id > :after AND request_logs.id <= :until AND attempt_trail IS NOT NULL
    AND (COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL)
    AND value ->> 'http_status' IS NOT 499
)
GROUP BY start, provider_id, model
ON CONFLICT DO UPDATE SET
  successes = successes + excluded.successes,
  failures = failures + excluded.failures,
  last_error = IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error, last_error),
  last_error_status =
    IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error_status, last_error_status),
  last_error_at = IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error_at, last_error_at);

-- A reader of the release before searches it for statuses from 400 on, which it still covers.
DROP INDEX idx_logs_errors;
CREATE INDEX idx_logs_errors ON request_logs (timestamp) WHERE http_status >= 400
OR (error_message IS NOT NULL AND attempt_trail IS NOT NULL);

-- What was rolled up is rolled up again from the buckets, in the background.
DELETE FROM rolled_up;

DELETE FROM usage_rollups;

DELETE FROM duration_rollups;

DELETE FROM attempt_rollups;

DROP TRIGGER roll_up;

CREATE TRIGGER roll_up INSTEAD OF INSERT ON to_roll_up
BEGIN
  DELETE FROM usage_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start;

  DELETE FROM duration_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start;

  INSERT INTO usage_rollups (
    width, dimension, start, chain_name, provider_id, model, caller, requests, errors, cancelled, rate_limited,
    waterfalls, prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd, latency_ms, ttft_ms,
    ttft_requests
  )
  SELECT
    NEW.width, NEW.dimension, NEW.start, chain, provider, name, who,
    SUM(requests), SUM(errors), SUM(cancelled), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens),
    SUM(completion_tokens), SUM(cached_tokens), SUM(total_tokens), SUM(cost_usd), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
  FROM (
    SELECT
      IIF(by_chain, chain_name, '') AS chain, IIF(by_provider, provider_id, '') AS provider,
      IIF(by_model, model, '') AS name, IIF(by_caller, caller, '') AS who, requests, errors, cancelled,
      rate_limited, waterfalls, prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd, latency_ms,
      ttft_ms, ttft_requests
    FROM rollup_dimensions CROSS JOIN usage_buckets
    WHERE NEW.part_width = 0 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
    UNION ALL
    SELECT
      chain_name, provider_id, model, caller, requests, errors, cancelled, rate_limited, waterfalls,
      prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd, latency_ms, ttft_ms, ttft_requests
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
