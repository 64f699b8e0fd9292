-- The schema of a new database, as the folder `migrations` leads to it. A new file gets it in one transaction, which is
-- twenty times as fast as every step in turn. Not written by hand: `python -m tests.support.schema_sql` makes it.

CREATE TABLE request_logs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp INTEGER NOT NULL,
  chain_name TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL DEFAULT 0,
  completion_tokens INTEGER NOT NULL DEFAULT 0,
  total_tokens INTEGER NOT NULL DEFAULT 0,
  latency_ms INTEGER NOT NULL,
  http_status INTEGER NOT NULL,
  attempts INTEGER NOT NULL
, error_message TEXT, request_id TEXT, caller TEXT, ttft_ms INTEGER, cost_usd REAL, streamed INTEGER, cached_tokens INTEGER, metadata TEXT, attempt_trail TEXT, outcome TEXT GENERATED ALWAYS AS (
  CASE
    WHEN http_status = 499 THEN 'cancelled'
    WHEN http_status >= 400 THEN 'failed'
    WHEN error_message IS NOT NULL AND attempt_trail IS NOT NULL AND (
      COALESCE(json_extract(attempt_trail, '$[#-1].http_status'), 599) >= 400
      OR json_extract(attempt_trail, '$[#-1].error_message') IS NOT NULL
    ) THEN 'failed'
    ELSE 'answered'
  END
) VIRTUAL, cache_write_tokens INTEGER, cache_write_1h_tokens INTEGER, reasoning_tokens INTEGER, prompt_audio_tokens INTEGER, completion_audio_tokens INTEGER, finish_reason TEXT, service_tier TEXT, response_id TEXT, session_id TEXT, tags TEXT, cost_nano INTEGER GENERATED ALWAYS AS (
  CAST(ROUND(MIN(cost_usd * 1e9, 1e18)) AS INTEGER)
) VIRTUAL, cost_source TEXT);

CREATE TABLE usage_by_provider (
  provider_id TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL DEFAULT 0,
  total_tokens INTEGER NOT NULL DEFAULT 0,
  total_prompt_tokens INTEGER NOT NULL DEFAULT 0,
  total_completion_tokens INTEGER NOT NULL DEFAULT 0,
  last_request_timestamp INTEGER
, total_cost_nano INTEGER NOT NULL DEFAULT 0);

CREATE TABLE usage_by_chain (
  chain_name TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL DEFAULT 0,
  total_tokens INTEGER NOT NULL DEFAULT 0,
  total_prompt_tokens INTEGER NOT NULL DEFAULT 0,
  total_completion_tokens INTEGER NOT NULL DEFAULT 0,
  last_request_timestamp INTEGER
, total_cost_nano INTEGER NOT NULL DEFAULT 0);

CREATE TABLE usage_summary (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  total_requests INTEGER NOT NULL,
  waterfall_requests INTEGER NOT NULL,
  total_latency_ms INTEGER NOT NULL
);

CREATE TRIGGER update_usage_summary AFTER INSERT ON request_logs
BEGIN
  UPDATE usage_summary SET
    total_requests = total_requests + 1,
    waterfall_requests = waterfall_requests + (NEW.attempts > 1),
    total_latency_ms = total_latency_ms + NEW.latency_ms
  WHERE id = 1;
END;

CREATE TABLE writer_positions (
  writer_id TEXT PRIMARY KEY,
  position INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE unfinished_batches (
  summary_id INTEGER NOT NULL REFERENCES usage_summary (id) DEFERRABLE INITIALLY DEFERRED
);

CREATE VIEW batches (writer_id, start_position, end_position, lines) AS
SELECT NULL, NULL, NULL, NULL WHERE FALSE;

CREATE TABLE rejected_entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  rejected_at INTEGER NOT NULL,
  error TEXT NOT NULL,
  entry TEXT NOT NULL
);

CREATE VIEW rejections (writer_id, end_position, rejected_at, error, entry) AS
SELECT NULL, NULL, NULL, NULL, NULL WHERE FALSE;

CREATE TRIGGER write_rejection INSTEAD OF INSERT ON rejections
WHEN NOT EXISTS (
  SELECT 1 FROM writer_positions WHERE writer_id = NEW.writer_id AND position >= NEW.end_position
)
BEGIN
  INSERT INTO rejected_entries (rejected_at, error, entry) VALUES (NEW.rejected_at, NEW.error, NEW.entry);

  INSERT INTO writer_positions (writer_id, position) VALUES (NEW.writer_id, NEW.end_position)
  ON CONFLICT (writer_id) DO UPDATE SET position = excluded.position;
END;

CREATE TABLE pruned_by_provider (
  provider_id TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  total_prompt_tokens INTEGER NOT NULL,
  total_completion_tokens INTEGER NOT NULL,
  last_request_timestamp INTEGER NOT NULL
, total_cost_nano INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;

CREATE TABLE pruned_by_chain (
  chain_name TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  total_prompt_tokens INTEGER NOT NULL,
  total_completion_tokens INTEGER NOT NULL,
  last_request_timestamp INTEGER NOT NULL
, total_cost_nano INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;

CREATE TABLE pruned_summary (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  total_requests INTEGER NOT NULL,
  waterfall_requests INTEGER NOT NULL,
  total_latency_ms INTEGER NOT NULL
);

CREATE TABLE duration_bins (upper_ms INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE);

CREATE TABLE usage_buckets (
  start INTEGER NOT NULL,
  chain_name TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  caller TEXT NOT NULL,
  upper_ms INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  rate_limited INTEGER NOT NULL,
  waterfalls INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  latency_ms INTEGER NOT NULL,
  ttft_ms INTEGER NOT NULL,
  ttft_requests INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0, cache_write_tokens INTEGER NOT NULL DEFAULT 0, cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0, reasoning_tokens INTEGER NOT NULL DEFAULT 0, prompt_audio_tokens INTEGER NOT NULL DEFAULT 0, completion_audio_tokens INTEGER NOT NULL DEFAULT 0, cost_nano INTEGER NOT NULL DEFAULT 0, unanswered_cost_nano INTEGER NOT NULL DEFAULT 0, cost_usd REAL GENERATED ALWAYS AS (cost_nano / 1e9) VIRTUAL,
  PRIMARY KEY (start, chain_name, provider_id, model, caller, upper_ms)
) WITHOUT ROWID;

CREATE TABLE ttft_buckets (
  start INTEGER NOT NULL,
  chain_name TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  caller TEXT NOT NULL,
  upper_ms INTEGER NOT NULL,
  requests INTEGER NOT NULL, failed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (start, chain_name, provider_id, model, caller, upper_ms)
) WITHOUT ROWID;

CREATE TABLE attempt_buckets (
  start INTEGER NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  tries INTEGER NOT NULL,
  successes INTEGER NOT NULL,
  rate_limited INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  last_error TEXT,
  last_error_status INTEGER,
  last_error_at INTEGER,
  PRIMARY KEY (start, provider_id, model)
) WITHOUT ROWID;

CREATE TABLE pruned_before_buckets (
  provider_id TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  total_prompt_tokens INTEGER NOT NULL,
  total_completion_tokens INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX idx_logs_timestamp ON request_logs (timestamp);

CREATE INDEX idx_logs_request_id ON request_logs (request_id, timestamp) WHERE request_id IS NOT NULL;

CREATE TABLE rollup_dimensions (
  dimension TEXT PRIMARY KEY,
  bit INTEGER NOT NULL,
  by_chain INTEGER NOT NULL,
  by_provider INTEGER NOT NULL,
  by_model INTEGER NOT NULL,
  by_caller INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE usage_rollups (
  width INTEGER NOT NULL,
  dimension TEXT NOT NULL,
  start INTEGER NOT NULL,
  chain_name TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  caller TEXT NOT NULL,
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  rate_limited INTEGER NOT NULL,
  waterfalls INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  latency_ms INTEGER NOT NULL,
  ttft_ms INTEGER NOT NULL,
  ttft_requests INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0, cache_write_tokens INTEGER NOT NULL DEFAULT 0, cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0, reasoning_tokens INTEGER NOT NULL DEFAULT 0, prompt_audio_tokens INTEGER NOT NULL DEFAULT 0, completion_audio_tokens INTEGER NOT NULL DEFAULT 0, cost_nano INTEGER NOT NULL DEFAULT 0, unanswered_cost_nano INTEGER NOT NULL DEFAULT 0, cost_usd REAL GENERATED ALWAYS AS (cost_nano / 1e9) VIRTUAL,
  PRIMARY KEY (width, dimension, start, chain_name, provider_id, model, caller)
) WITHOUT ROWID;

CREATE TABLE duration_rollups (
  width INTEGER NOT NULL,
  dimension TEXT NOT NULL,
  start INTEGER NOT NULL,
  chain_name TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  caller TEXT NOT NULL,
  latency_p50 INTEGER,
  latency_p90 INTEGER,
  latency_p95 INTEGER,
  latency_p99 INTEGER,
  slowest_bin INTEGER,
  ttft_p50 INTEGER,
  ttft_p90 INTEGER,
  ttft_p95 INTEGER,
  ttft_p99 INTEGER,
  latencies TEXT NOT NULL,
  ttfts TEXT NOT NULL, failed_latencies TEXT NOT NULL DEFAULT '[]', failed_ttfts TEXT NOT NULL DEFAULT '[]',
  PRIMARY KEY (width, dimension, start, chain_name, provider_id, model, caller)
) WITHOUT ROWID;

CREATE TABLE attempt_rollups (
  start INTEGER NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  tries INTEGER NOT NULL,
  successes INTEGER NOT NULL,
  rate_limited INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  last_error TEXT,
  last_error_status INTEGER,
  last_error_at INTEGER,
  PRIMARY KEY (start, provider_id, model)
) WITHOUT ROWID;

CREATE TABLE rolled_up (
  width INTEGER NOT NULL,
  start INTEGER NOT NULL,
  dimensions INTEGER NOT NULL,
  taken_by TEXT,
  taken_at INTEGER,
  PRIMARY KEY (width, start)
) WITHOUT ROWID;

CREATE TABLE rollup_progress (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  rolled_until INTEGER NOT NULL,
  fewest_buckets INTEGER NOT NULL,
  fewest_for_a_line INTEGER NOT NULL
);

CREATE TRIGGER begin_to_forget AFTER INSERT ON rolled_up
BEGIN
  UPDATE rollup_progress SET rolled_until = MAX(rolled_until, NEW.start + NEW.width) WHERE id = 1;
END;

CREATE VIEW to_roll_up (start, width, part_width, dimension) AS SELECT NULL, NULL, NULL, NULL WHERE FALSE;

CREATE TRIGGER forget_rollups AFTER INSERT ON request_logs
WHEN NEW.timestamp < (SELECT rolled_until FROM rollup_progress WHERE id = 1)
BEGIN
  DELETE FROM rolled_up WHERE width = 900000 AND start = CAST(NEW.timestamp AS INTEGER) / 900000 * 900000;
  DELETE FROM rolled_up WHERE width = 3600000 AND start = CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000;
  DELETE FROM rolled_up WHERE width = 14400000 AND start = CAST(NEW.timestamp AS INTEGER) / 14400000 * 14400000;
  DELETE FROM rolled_up WHERE width = 21600000 AND start = CAST(NEW.timestamp AS INTEGER) / 21600000 * 21600000;
  DELETE FROM rolled_up WHERE width = 43200000 AND start = CAST(NEW.timestamp AS INTEGER) / 43200000 * 43200000;
  DELETE FROM rolled_up WHERE width = 86400000 AND start = CAST(NEW.timestamp AS INTEGER) / 86400000 * 86400000;
END;

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

CREATE INDEX idx_logs_errors ON request_logs (timestamp) WHERE http_status >= 400
OR (error_message IS NOT NULL AND attempt_trail IS NOT NULL);

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

CREATE TABLE prices (
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  service_tier TEXT NOT NULL,
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,
  above_tokens INTEGER NOT NULL,
  source TEXT NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER,
  cache_read INTEGER,
  cache_write INTEGER,
  cache_write_1h INTEGER,
  input_audio INTEGER,
  output_audio INTEGER,
  PRIMARY KEY (provider_id, model, service_tier DESC, priority DESC, since DESC, above_tokens DESC)
) WITHOUT ROWID;

CREATE TABLE price_names (
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  priced_provider TEXT NOT NULL,
  priced_model TEXT NOT NULL,
  PRIMARY KEY (provider_id, model)
) WITHOUT ROWID;

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
    request_id, caller, ttft_ms, streamed, cached_tokens, metadata, attempt_trail,
    cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens,
    finish_reason, service_tier, response_id, session_id, tags, cost_usd, cost_source
  )
  SELECT
    logged_at, chain, provider, name, prompt, completion, COALESCE(total, prompt + completion),
    CAST(latency + 0.5 AS INTEGER), status, tries, message,
    request, who, CAST(ttft + 0.5 AS INTEGER), streams, cached, facts, trail,
    written, written_1h, reasoning, audio_in, audio_out, reason, tier, response, conversation, labels,
    COALESCE(given, nano / 1e9),
    CASE WHEN given IS NOT NULL THEN COALESCE(source, 'gateway') WHEN nano IS NOT NULL THEN 'table' END
  FROM (
    SELECT
      *,
      CASE WHEN given IS NULL AND tries > 0 AND prompt + completion > 0 THEN (
        SELECT
          CAST(ROUND((
            MAX(prompt - COALESCE(cached, 0) - COALESCE(written, 0) - COALESCE(audio_in, 0), 0) * input
            + COALESCE(cached, 0) * COALESCE(cache_read, input)
            + MAX(COALESCE(written, 0) - COALESCE(written_1h, 0), 0) * COALESCE(cache_write, input)
            + COALESCE(written_1h, 0) * COALESCE(cache_write_1h, cache_write, input)
            + COALESCE(audio_in, 0) * COALESCE(input_audio, input)
            + IIF(completion = 0, 0, MAX(completion - COALESCE(audio_out, 0), 0) * output)
            + COALESCE(audio_out, 0) * COALESCE(output_audio, output, 0)
          ) / 1e3) AS INTEGER) + IIF(trail IS NULL, 0, (
            SELECT COALESCE(SUM(CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
            FROM json_each(trail)
            WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
          ))
        FROM prices
        WHERE prices.provider_id = COALESCE(
            (SELECT priced.priced_provider FROM price_names AS priced
            WHERE priced.provider_id = provider AND priced.model = name), provider
          ) AND prices.model = COALESCE(
            (SELECT priced.priced_model FROM price_names AS priced
            WHERE priced.provider_id = provider AND priced.model = name), name
          )
          AND (prices.service_tier = '' OR prices.service_tier = tier)
          AND prices.since <= logged_at AND (above_tokens = 0 OR above_tokens < prompt)
        ORDER BY prices.service_tier DESC, priority DESC, since DESC, above_tokens DESC LIMIT 1
      ) END AS nano
    FROM (
      SELECT
        value ->> 0 AS logged_at, value ->> 1 AS chain, value ->> 2 AS provider, value ->> 3 AS name,
        value ->> 4 AS prompt, value ->> 5 AS completion, value ->> 6 AS total, value ->> 7 AS latency,
        value ->> 8 AS status, value ->> 9 AS tries, value ->> 10 AS message, value ->> 11 AS request,
        value ->> 12 AS who, value ->> 13 AS ttft, value ->> 14 AS given, value ->> 15 AS streams,
        value ->> 16 AS cached, value ->> 17 AS facts, value ->> 18 AS trail,
        longer ->> 19 AS written, longer ->> 20 AS written_1h, longer ->> 21 AS reasoning,
        longer ->> 22 AS audio_in, longer ->> 23 AS audio_out, longer ->> 24 AS reason, longer ->> 25 AS tier,
        longer ->> 26 AS response, longer ->> 27 AS conversation, longer ->> 28 AS labels, longer ->> 29 AS source
      FROM (
        SELECT value, IIF(json_array_length(value) > 19, value, NULL) AS longer
        FROM json_each(CAST(NEW.lines AS TEXT)) LIMIT -1
      )
      LIMIT -1
    )
    LIMIT -1
  )
  LIMIT -1;

  INSERT INTO writer_positions (writer_id, position) VALUES (NEW.writer_id, NEW.end_position)
  ON CONFLICT (writer_id) DO UPDATE SET position = excluded.position;

  DELETE FROM unfinished_batches;
END;

CREATE VIEW priced_requests (id, nano) AS
SELECT
  id,
  CASE WHEN attempts > 0 AND prompt_tokens + completion_tokens > 0 THEN (
    SELECT
      CAST(ROUND((
        MAX(
          prompt_tokens - COALESCE(cached_tokens, 0) - COALESCE(cache_write_tokens, 0)
          - COALESCE(prompt_audio_tokens, 0), 0
        ) * input
        + COALESCE(cached_tokens, 0) * COALESCE(cache_read, input)
        + MAX(COALESCE(cache_write_tokens, 0) - COALESCE(cache_write_1h_tokens, 0), 0) * COALESCE(cache_write, input)
        + COALESCE(cache_write_1h_tokens, 0) * COALESCE(cache_write_1h, cache_write, input)
        + COALESCE(prompt_audio_tokens, 0) * COALESCE(input_audio, input)
        + IIF(completion_tokens = 0, 0, MAX(completion_tokens - COALESCE(completion_audio_tokens, 0), 0) * output)
        + COALESCE(completion_audio_tokens, 0) * COALESCE(output_audio, output, 0)
      ) / 1e3) AS INTEGER) + IIF(attempt_trail IS NULL, 0, (
        SELECT COALESCE(SUM(CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
        FROM json_each(attempt_trail)
        WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
      ))
    FROM prices
    WHERE prices.provider_id = COALESCE(
        (SELECT priced.priced_provider FROM price_names AS priced
        WHERE priced.provider_id = logged.provider_id AND priced.model = logged.model), logged.provider_id
      ) AND prices.model = COALESCE(
        (SELECT priced.priced_model FROM price_names AS priced
        WHERE priced.provider_id = logged.provider_id AND priced.model = logged.model), logged.model
      )
      AND (prices.service_tier = '' OR prices.service_tier = logged.service_tier)
      AND prices.since <= logged.timestamp AND (above_tokens = 0 OR above_tokens < prompt_tokens)
    ORDER BY prices.service_tier DESC, priority DESC, prices.since DESC, above_tokens DESC LIMIT 1
  ) END
FROM request_logs AS logged;

CREATE TRIGGER change_cost AFTER UPDATE OF cost_usd ON request_logs
WHEN COALESCE(NEW.cost_nano, 0) <> COALESCE(OLD.cost_nano, 0)
BEGIN
  UPDATE usage_buckets SET cost_nano = cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0)
  WHERE start = CAST(NEW.timestamp AS INTEGER) / 900000 * 900000 AND chain_name = NEW.chain_name
    AND provider_id = NEW.provider_id AND model = NEW.model AND caller = COALESCE(NEW.caller, '')
    AND upper_ms = (
      SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(NEW.latency_ms) ORDER BY upper_ms LIMIT 1
    );

  UPDATE usage_by_provider
  SET total_cost_nano = total_cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0)
  WHERE provider_id = NEW.provider_id;

  UPDATE usage_by_chain
  SET total_cost_nano = total_cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0)
  WHERE chain_name = NEW.chain_name;

  DELETE FROM rolled_up WHERE width = 900000 AND start = CAST(NEW.timestamp AS INTEGER) / 900000 * 900000;
  DELETE FROM rolled_up WHERE width = 3600000 AND start = CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000;
  DELETE FROM rolled_up WHERE width = 14400000 AND start = CAST(NEW.timestamp AS INTEGER) / 14400000 * 14400000;
  DELETE FROM rolled_up WHERE width = 43200000 AND start = CAST(NEW.timestamp AS INTEGER) / 43200000 * 43200000;
  DELETE FROM rolled_up WHERE width = 86400000 AND start = CAST(NEW.timestamp AS INTEGER) / 86400000 * 86400000;
END;

CREATE TABLE alert_leases (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE alert_episodes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  alert TEXT NOT NULL,
  group_name TEXT NOT NULL,
  rule TEXT NOT NULL,
  value TEXT NOT NULL,
  fired_at INTEGER NOT NULL,
  cleared_at INTEGER
);

CREATE UNIQUE INDEX open_alert_episodes ON alert_episodes (alert, group_name) WHERE cleared_at IS NULL;

CREATE TABLE alert_messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  episode_id INTEGER NOT NULL,
  event TEXT NOT NULL,
  target TEXT NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER,
  delivered_at INTEGER,
  error TEXT
);

CREATE INDEX due_alert_messages ON alert_messages (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX alert_messages_by_episode ON alert_messages (episode_id);

CREATE TABLE dropped_entries (
  dropped_at INTEGER NOT NULL,
  entries INTEGER NOT NULL
);

CREATE INDEX dropped_entries_by_time ON dropped_entries (dropped_at);

CREATE VIEW alert_changes AS
SELECT '' AS lease, '' AS owner, 0 AS at, '' AS event, alert, group_name, rule, value, '[]' AS targets
FROM alert_episodes WHERE 0;

CREATE TRIGGER fire_alert INSTEAD OF INSERT ON alert_changes
WHEN NEW.event = 'fired'
  AND EXISTS (SELECT 1 FROM alert_leases WHERE name = NEW.lease AND owner = NEW.owner)
  AND NOT EXISTS (
    SELECT 1 FROM alert_episodes WHERE alert = NEW.alert AND group_name = NEW.group_name AND cleared_at IS NULL
  )
BEGIN
  INSERT INTO alert_episodes (alert, group_name, rule, value, fired_at)
  VALUES (NEW.alert, NEW.group_name, NEW.rule, NEW.value, NEW.at);

  INSERT INTO alert_messages (episode_id, event, target, due_at)
  SELECT
    (SELECT id FROM alert_episodes WHERE alert = NEW.alert AND group_name = NEW.group_name AND cleared_at IS NULL),
    'fired', value, NEW.at
  FROM json_each(NEW.targets);

  -- The history is the last thousand.
  DELETE FROM alert_messages WHERE episode_id IN (
    SELECT id FROM alert_episodes
    WHERE cleared_at IS NOT NULL AND id <= (SELECT MAX(id) FROM alert_episodes) - 1000
  );

  DELETE FROM alert_episodes
  WHERE cleared_at IS NOT NULL AND id <= (SELECT MAX(id) FROM alert_episodes) - 1000;
END;

CREATE TRIGGER clear_alert INSTEAD OF INSERT ON alert_changes
WHEN NEW.event = 'cleared' AND EXISTS (SELECT 1 FROM alert_leases WHERE name = NEW.lease AND owner = NEW.owner)
BEGIN
  INSERT INTO alert_messages (episode_id, event, target, due_at)
  SELECT alert_episodes.id, 'cleared', told.value, NEW.at
  FROM alert_episodes CROSS JOIN json_each(NEW.targets) AS told
  WHERE alert = NEW.alert AND group_name = NEW.group_name AND cleared_at IS NULL;

  UPDATE alert_episodes SET cleared_at = NEW.at
  WHERE alert = NEW.alert AND group_name = NEW.group_name AND cleared_at IS NULL;
END;

CREATE TABLE tag_keys (tag_key TEXT PRIMARY KEY, value_count INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE tag_values (
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (tag_key, tag_value)
) WITHOUT ROWID;

CREATE TRIGGER count_tag_values AFTER INSERT ON tag_values
BEGIN
  INSERT INTO tag_keys (tag_key, value_count) VALUES (NEW.tag_key, 1)
  ON CONFLICT DO UPDATE SET value_count = value_count + 1;
END;

CREATE TABLE tag_buckets (
  start INTEGER NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  chain_name TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  caller TEXT NOT NULL,
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  rate_limited INTEGER NOT NULL,
  waterfalls INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  prompt_audio_tokens INTEGER NOT NULL,
  completion_audio_tokens INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  cost_nano INTEGER NOT NULL,
  unanswered_cost_nano INTEGER NOT NULL,
  latency_ms INTEGER NOT NULL,
  ttft_ms INTEGER NOT NULL,
  ttft_requests INTEGER NOT NULL,
  PRIMARY KEY (start, tag_key, tag_value, chain_name, provider_id, model, caller)
) WITHOUT ROWID;

CREATE TABLE tag_rollups (
  start INTEGER NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  rate_limited INTEGER NOT NULL,
  waterfalls INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  prompt_audio_tokens INTEGER NOT NULL,
  completion_audio_tokens INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  cost_nano INTEGER NOT NULL,
  unanswered_cost_nano INTEGER NOT NULL,
  latency_ms INTEGER NOT NULL,
  ttft_ms INTEGER NOT NULL,
  ttft_requests INTEGER NOT NULL,
  PRIMARY KEY (start, tag_key, tag_value)
) WITHOUT ROWID;

CREATE VIEW counted_tags (id, tag_key, tag_value) AS
SELECT DISTINCT
  given.id, given.tag_key,
  IIF(EXISTS (
    SELECT 1 FROM tag_values AS known
    WHERE known.tag_key = given.tag_key AND known.tag_value = given.tag_value
  ), given.tag_value, '(others)')
FROM (
  SELECT
    request_logs.id AS id, SUBSTR(value, 1, INSTR(value, ':') - 1) AS tag_key,
    SUBSTR(value, INSTR(value, ':') + 1) AS tag_value
  FROM request_logs CROSS JOIN json_each(tags) WHERE tags IS NOT NULL
) AS given CROSS JOIN tag_keys USING (tag_key);

CREATE TRIGGER update_tag_buckets AFTER INSERT ON request_logs WHEN NEW.tags IS NOT NULL
BEGIN
  INSERT INTO tag_values (tag_key, tag_value)
  SELECT given.tag_key, given.tag_value FROM (
    SELECT SUBSTR(value, 1, INSTR(value, ':') - 1) AS tag_key, SUBSTR(value, INSTR(value, ':') + 1) AS tag_value
    FROM json_each(NEW.tags)
  ) AS given
  WHERE NOT EXISTS (
      SELECT 1 FROM tag_values AS known
      WHERE known.tag_key = given.tag_key AND known.tag_value = given.tag_value
    )
    AND COALESCE(
      (SELECT value_count < 1000 FROM tag_keys AS known WHERE known.tag_key = given.tag_key),
      (SELECT COUNT(*) < 100 FROM tag_keys)
    )
  ON CONFLICT DO NOTHING;

  INSERT INTO tag_buckets (
    start, tag_key, tag_value, chain_name, provider_id, model, caller,
    requests, errors, cancelled, rate_limited, waterfalls,
    prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano,
    latency_ms, ttft_ms, ttft_requests
  )
  SELECT
    CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000, tag_key, tag_value,
    NEW.chain_name, NEW.provider_id, NEW.model, COALESCE(NEW.caller, ''),
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
  FROM (
    SELECT DISTINCT
      given.tag_key AS tag_key,
      IIF(EXISTS (
        SELECT 1 FROM tag_values AS known
        WHERE known.tag_key = given.tag_key AND known.tag_value = given.tag_value
      ), given.tag_value, '(others)') AS tag_value
    FROM (
      SELECT SUBSTR(value, 1, INSTR(value, ':') - 1) AS tag_key, SUBSTR(value, INSTR(value, ':') + 1) AS tag_value
      FROM json_each(NEW.tags)
    ) AS given CROSS JOIN tag_keys USING (tag_key)
  )
  WHERE TRUE
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

CREATE TRIGGER change_cost_of_tags AFTER UPDATE OF cost_usd ON request_logs
WHEN NEW.tags IS NOT NULL AND COALESCE(NEW.cost_nano, 0) <> COALESCE(OLD.cost_nano, 0)
BEGIN
  UPDATE tag_buckets SET cost_nano = cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0)
  WHERE start = CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000
    AND (tag_key, tag_value) IN (SELECT tag_key, tag_value FROM counted_tags WHERE id = NEW.id)
    AND chain_name = NEW.chain_name AND provider_id = NEW.provider_id AND model = NEW.model
    AND caller = COALESCE(NEW.caller, '');
END;

CREATE TRIGGER roll_up_tags AFTER UPDATE OF taken_by ON rolled_up
WHEN NEW.taken_by IS NULL AND NEW.width = 3600000
  AND NEW.dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = 'all')
BEGIN
  DELETE FROM tag_rollups WHERE start = NEW.start;

  INSERT INTO tag_rollups (
    start, tag_key, tag_value, requests, errors, cancelled, rate_limited, waterfalls, prompt_tokens,
    completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
    prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano, latency_ms, ttft_ms,
    ttft_requests
  )
  SELECT
    start, tag_key, tag_value, SUM(requests), SUM(errors), SUM(cancelled), SUM(rate_limited), SUM(waterfalls),
    SUM(prompt_tokens), SUM(completion_tokens), SUM(cached_tokens), SUM(cache_write_tokens),
    SUM(cache_write_1h_tokens), SUM(reasoning_tokens), SUM(prompt_audio_tokens), SUM(completion_audio_tokens),
    SUM(total_tokens), SUM(cost_nano), SUM(unanswered_cost_nano), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
  FROM tag_buckets WHERE start = NEW.start GROUP BY tag_key, tag_value;
END;

CREATE INDEX idx_logs_session ON request_logs (session_id, timestamp) WHERE session_id IS NOT NULL;

CREATE INDEX idx_logs_sessions ON request_logs (timestamp) WHERE session_id IS NOT NULL;

INSERT INTO usage_summary VALUES (1, 0, 0, 0);

INSERT INTO pruned_summary VALUES (1, 0, 0, 0);

INSERT INTO duration_bins VALUES (0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (9, 9), (11,
  10), (13, 11), (15, 12), (17, 13), (19, 14), (22, 15), (25, 16), (28, 17), (32, 18), (36, 19), (40, 20), (45, 21),
  (50, 22), (56, 23), (63, 24), (70, 25), (78, 26), (87, 27), (97, 28), (108, 29), (120, 30), (133, 31), (148, 32),
  (164, 33), (182, 34), (202, 35), (224, 36), (248, 37), (275, 38), (305, 39), (338, 40), (374, 41), (414, 42), (458,
  43), (507, 44), (561, 45), (621, 46), (687, 47), (760, 48), (841, 49), (930, 50), (1029, 51), (1138, 52), (1258, 53),
  (1391, 54), (1538, 55), (1701, 56), (1881, 57), (2080, 58), (2300, 59), (2543, 60), (2811, 61), (3108, 62), (3436,
  63), (3798, 64), (4198, 65), (4641, 66), (5130, 67), (5671, 68), (6269, 69), (6930, 70), (7660, 71), (8467, 72),
  (9359, 73), (10345, 74), (11435, 75), (12639, 76), (13970, 77), (15441, 78), (17067, 79), (18864, 80), (20850, 81),
  (23045, 82), (25471, 83), (28153, 84), (31117, 85), (34393, 86), (38014, 87), (42016, 88), (46439, 89), (51328, 90),
  (56732, 91), (62704, 92), (69305, 93), (76601, 94), (84665, 95), (93578, 96), (103429, 97), (114317, 98), (126351,
  99), (139652, 100), (154353, 101), (170601, 102), (188560, 103), (208409, 104), (230347, 105), (254595, 106), (281395,
  107), (311016, 108), (343755, 109), (379940, 110), (419934, 111), (464138, 112), (512995, 113), (566995, 114),
  (626679, 115), (692646, 116), (765557, 117), (846143, 118), (935211, 119), (1033655, 120), (1142461, 121), (1262721,
  122), (1395640, 123), (1542550, 124), (1704924, 125), (1884390, 126), (2082747, 127), (2301984, 128), (2544299, 129),
  (2812121, 130), (3108134, 131), (3435307, 132), (3796919, 133), (4196595, 134), (4638342, 135), (5126589, 136),
  (5666231, 137), (6262677, 138), (6921907, 139), (7650529, 140), (8455848, 141), (9345938, 142), (10329722, 143),
  (11417062, 144), (12618859, 145), (13947161, 146), (15415284, 147), (17037946, 148), (18831415, 149), (20813670, 150),
  (23004583, 151), (25426119, 152), (28102553, 153), (31060717, 154), (34330267, 155), (37943980, 156), (41938084, 157),
  (46352620, 158), (51231844, 159), (56624670, 160), (62585162, 161), (69173074, 162), (76454451, 163), (84502289, 164),
  (93397267, 165), (103228559, 166), (114094724, 167), (126104696, 168), (139378875, 169), (154050336, 170), (170266161,
  171), (188188915, 172), (207998275, 173), (229892831, 174), (254092077, 175), (280838612, 176), (310400572, 177),
  (343074317, 178), (379187404, 179), (419101868, 180), (463217855, 181), (511977630, 182), (565870013, 183),
  (625435278, 184), (691270571, 185), (764035895, 186), (844460727, 187), (933351330, 188), (1031598839, 189),
  (1140188191, 190), (1260208001, 191), (1392861475, 192), (1539478473, 193), (1701528839, 194), (1880637138, 195),
  (2078598943, 196), (2297398832, 197), (2539230289, 198), (2806517688, 199), (3101940603, 200), (3428460667, 201),
  (3789351264, 202), (4188230345, 203), (4629096698, 204), (5116370035, 205), (5654935302, 206), (6250191650, 207),
  (6908106561, 208), (7635275673, 209), (8438988902, 210), (9327303524, 211), (10309124948, 212), (11394295996, 213),
  (12593695575, 214), (13919347741, 215), (15384542241, 216), (17003967741, 217), (18793859083, 218), (20772160040,
  219), (22958703203, 220), (25375408804, 221), (28046504468, 222), (30998768097, 223), (34261796318, 224),
  (37868301194, 225), (41854438162, 226), (46260168495, 227), (51129659916, 228), (56511729381, 229), (62460332474,
  230), (69035104314, 231), (76301957400, 232), (84333742390, 233), (93210978432, 234), (103022660373, 235),
  (113867150939, 236), (125853166828, 237), (139100868600, 238), (153743065295, 239), (169926545853, 240),
  (187813550680, 241), (207583398121, 242), (229434282134, 243), (253585259201, 244), (280278444381, 245),
  (309781438527, 246), (342390011004, 247), (378431064795, 248), (418265913721, 249), (462293904640, 250),
  (510956420919, 251), (564741307332, 252), (624187760736, 253), (689891735551, 254), (762511918241, 255),
  (842776330688, 256), (931489628656, 257), (1029541168515, 258), (9223372036854775807, 259);

INSERT INTO rollup_dimensions VALUES ('all', 1, 0, 0, 0, 0), ('caller', 16, 0, 0, 0, 1), ('chain', 2, 1, 0, 0, 0),
  ('chain+caller', 128, 1, 0, 0, 1), ('chain+model', 64, 1, 0, 1, 0), ('chain+provider', 32, 1, 1, 0, 0), ('each', 2048,
  1, 1, 1, 1), ('model', 8, 0, 0, 1, 0), ('model+caller', 1024, 0, 0, 1, 1), ('provider', 4, 0, 1, 0, 0),
  ('provider+caller', 512, 0, 1, 0, 1), ('provider+model', 256, 0, 1, 1, 0);

INSERT INTO rollup_progress VALUES (1, 0, 100, 3);
