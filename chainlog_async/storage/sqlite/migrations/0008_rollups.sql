-- Buckets added up, so that a month costs little more to read than a day: per quarter of an hour, hour, six hours and day
-- (UTC), for everything together, for each chain, provider, model and caller, for each pair of these, and for each
-- combination of the four. The writer does that in the background once a quarter of an hour is over (rollups.py);
-- readers take the buckets where it is not done yet, or where it would save too little.

CREATE TABLE rollup_dimensions (
  dimension TEXT PRIMARY KEY,
  bit INTEGER NOT NULL,
  by_chain INTEGER NOT NULL,
  by_provider INTEGER NOT NULL,
  by_model INTEGER NOT NULL,
  by_caller INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO rollup_dimensions (dimension, bit, by_chain, by_provider, by_model, by_caller) VALUES
  ('all', 1, 0, 0, 0, 0),
  ('chain', 2, 1, 0, 0, 0),
  ('provider', 4, 0, 1, 0, 0),
  ('model', 8, 0, 0, 1, 0),
  ('caller', 16, 0, 0, 0, 1),
  ('chain+provider', 32, 1, 1, 0, 0),
  ('chain+model', 64, 1, 0, 1, 0),
  ('chain+caller', 128, 1, 0, 0, 1),
  ('provider+model', 256, 0, 1, 1, 0),
  ('provider+caller', 512, 0, 1, 0, 1),
  ('model+caller', 1024, 0, 0, 1, 1),
  ('each', 2048, 1, 1, 1, 1);

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
  cost_usd REAL NOT NULL,
  latency_ms INTEGER NOT NULL,
  ttft_ms INTEGER NOT NULL,
  ttft_requests INTEGER NOT NULL,
  PRIMARY KEY (width, dimension, start, chain_name, provider_id, model, caller)
) WITHOUT ROWID;

-- Histograms are JSON arrays with a number for each bin that has any requests: 512 times how many, plus the bin's number.
-- A row for each bin takes five times the space, and the time of reading that many; objects take twice the space and the
-- time. The percentiles of one line are numbers of bins already.
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
  ttfts TEXT NOT NULL,
  PRIMARY KEY (width, dimension, start, chain_name, provider_id, model, caller)
) WITHOUT ROWID;

-- Tries by day: a quarter of an hour has only a line for each model anyway. Valid where a day is, by provider and model.
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

-- What is rolled up and valid, and in which dimensions (the sum of their bits); while somebody is at it, `taken_by` says
-- who, and `taken_at` since when (ms, UTC).
CREATE TABLE rolled_up (
  width INTEGER NOT NULL,
  start INTEGER NOT NULL,
  dimensions INTEGER NOT NULL,
  taken_by TEXT,
  taken_at INTEGER,
  PRIMARY KEY (width, start)
) WITHOUT ROWID;

-- `rolled_until` is the end of the last time that was ever taken to be rolled up: what is logged for a later one can make
-- nothing invalid. What has fewer buckets, or fewer of them for each line that they would be added up to, is not rolled up:
-- reading the buckets takes no time then, and of rare requests of many kinds the lines would be larger than the log.
CREATE TABLE rollup_progress (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  rolled_until INTEGER NOT NULL,
  fewest_buckets INTEGER NOT NULL,
  fewest_for_a_line INTEGER NOT NULL
);

INSERT INTO rollup_progress (id, rolled_until, fewest_buckets, fewest_for_a_line) VALUES (1, 0, 100, 3);

CREATE TRIGGER begin_to_forget AFTER INSERT ON rolled_up
BEGIN
  UPDATE rollup_progress SET rolled_until = MAX(rolled_until, NEW.start + NEW.width) WHERE id = 1;
END;

CREATE TRIGGER forget_rollups AFTER INSERT ON request_logs
WHEN NEW.timestamp < (SELECT rolled_until FROM rollup_progress WHERE id = 1)
BEGIN
  DELETE FROM rolled_up WHERE width = 900000 AND start = CAST(NEW.timestamp AS INTEGER) / 900000 * 900000;
  DELETE FROM rolled_up WHERE width = 3600000 AND start = CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000;
  DELETE FROM rolled_up WHERE width = 21600000 AND start = CAST(NEW.timestamp AS INTEGER) / 21600000 * 21600000;
  DELETE FROM rolled_up WHERE width = 86400000 AND start = CAST(NEW.timestamp AS INTEGER) / 86400000 * 86400000;
END;

-- Only to hang a trigger on: one INSERT is one step, whole or not at all.
CREATE VIEW to_roll_up (start, width, part_width, dimension) AS SELECT NULL, NULL, NULL, NULL WHERE FALSE;

-- Adds up the parts of one width in one dimension: of the buckets where `part_width` is 0, or of shorter rollups.
CREATE TRIGGER roll_up INSTEAD OF INSERT ON to_roll_up
BEGIN
  DELETE FROM usage_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start;

  DELETE FROM duration_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start;

  INSERT INTO usage_rollups
  SELECT
    NEW.width, NEW.dimension, NEW.start, chain, provider, name, who,
    SUM(requests), SUM(errors), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens), SUM(completion_tokens),
    SUM(cached_tokens), SUM(total_tokens), SUM(cost_usd), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
  FROM (
    SELECT
      IIF(by_chain, chain_name, '') AS chain, IIF(by_provider, provider_id, '') AS provider,
      IIF(by_model, model, '') AS name, IIF(by_caller, caller, '') AS who, requests, errors, rate_limited, waterfalls,
      prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd, latency_ms, ttft_ms, ttft_requests
    FROM rollup_dimensions CROSS JOIN usage_buckets
    WHERE NEW.part_width = 0 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
    UNION ALL
    SELECT
      chain_name, provider_id, model, caller, requests, errors, rate_limited, waterfalls,
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

  -- A percentile is the first bin at which the requests so far are at least that share of all.
  INSERT INTO duration_rollups
  SELECT
    NEW.width, NEW.dimension, NEW.start, chain, provider, name, who,
    MIN(IIF(all_latencies > 0 AND latency_rank >= 50 * all_latencies, number, NULL)),
    MIN(IIF(all_latencies > 0 AND latency_rank >= 90 * all_latencies, number, NULL)),
    MIN(IIF(all_latencies > 0 AND latency_rank >= 95 * all_latencies, number, NULL)),
    MIN(IIF(all_latencies > 0 AND latency_rank >= 99 * all_latencies, number, NULL)),
    MAX(IIF(latencies > 0, number, NULL)),
    MIN(IIF(all_ttfts > 0 AND ttft_rank >= 50 * all_ttfts, number, NULL)),
    MIN(IIF(all_ttfts > 0 AND ttft_rank >= 90 * all_ttfts, number, NULL)),
    MIN(IIF(all_ttfts > 0 AND ttft_rank >= 95 * all_ttfts, number, NULL)),
    MIN(IIF(all_ttfts > 0 AND ttft_rank >= 99 * all_ttfts, number, NULL)),
    json_group_array(512 * latencies + number) FILTER (WHERE latencies > 0),
    json_group_array(512 * ttfts + number) FILTER (WHERE ttfts > 0)
  FROM (
    SELECT
      chain, provider, name, who, number, latencies, ttfts,
      100 * SUM(latencies) OVER up_to_here AS latency_rank, SUM(latencies) OVER everywhere AS all_latencies,
      100 * SUM(ttfts) OVER up_to_here AS ttft_rank, SUM(ttfts) OVER everywhere AS all_ttfts
    FROM (
      SELECT chain, provider, name, who, number, SUM(latencies) AS latencies, SUM(ttfts) AS ttfts
      FROM (
        SELECT
          IIF(by_chain, chain_name, '') AS chain, IIF(by_provider, provider_id, '') AS provider,
          IIF(by_model, model, '') AS name, IIF(by_caller, caller, '') AS who, number, requests AS latencies, 0 AS ttfts
        FROM rollup_dimensions CROSS JOIN usage_buckets CROSS JOIN duration_bins USING (upper_ms)
        WHERE NEW.part_width = 0 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
        UNION ALL
        SELECT
          IIF(by_chain, chain_name, ''), IIF(by_provider, provider_id, ''), IIF(by_model, model, ''),
          IIF(by_caller, caller, ''), number, 0, requests
        FROM rollup_dimensions CROSS JOIN ttft_buckets CROSS JOIN duration_bins USING (upper_ms)
        WHERE NEW.part_width = 0 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
        UNION ALL
        SELECT chain_name, provider_id, model, caller, value & 511, value >> 9, 0
        FROM duration_rollups CROSS JOIN json_each(duration_rollups.latencies)
        WHERE NEW.part_width > 0 AND width = NEW.part_width AND dimension = NEW.dimension
          AND start >= NEW.start AND start < NEW.start + NEW.width
        UNION ALL
        SELECT chain_name, provider_id, model, caller, value & 511, 0, value >> 9
        FROM duration_rollups CROSS JOIN json_each(duration_rollups.ttfts)
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
