-- Buckets added up, so that a month costs little more to read than a day: per hour, six hours and day (UTC), for
-- everything together, for each chain, provider, model and caller, and for each combination of the four. The writer
-- does that in the background once an hour is over (rollups.py); readers take the buckets where it is not done yet.

CREATE TABLE rollup_dimensions (
  dimension TEXT PRIMARY KEY,
  by_chain INTEGER NOT NULL,
  by_provider INTEGER NOT NULL,
  by_model INTEGER NOT NULL,
  by_caller INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO rollup_dimensions (dimension, by_chain, by_provider, by_model, by_caller) VALUES
  ('all', 0, 0, 0, 0),
  ('chain', 1, 0, 0, 0),
  ('provider', 0, 1, 0, 0),
  ('model', 0, 0, 1, 0),
  ('caller', 0, 0, 0, 1),
  ('each', 1, 1, 1, 1);

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

CREATE TABLE duration_rollups (
  width INTEGER NOT NULL,
  dimension TEXT NOT NULL,
  start INTEGER NOT NULL,
  chain_name TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  caller TEXT NOT NULL,
  upper_ms INTEGER NOT NULL,
  latencies INTEGER NOT NULL,
  ttfts INTEGER NOT NULL,
  PRIMARY KEY (width, dimension, start, chain_name, provider_id, model, caller, upper_ms)
) WITHOUT ROWID;

-- What is rolled up and valid; while somebody is at it, `taken_by` says who, and `taken_at` since when (ms, UTC).
CREATE TABLE rolled_up (
  width INTEGER NOT NULL,
  start INTEGER NOT NULL,
  taken_by TEXT,
  taken_at INTEGER,
  PRIMARY KEY (width, start)
) WITHOUT ROWID;

-- The end of the last hour that was ever rolled up: what is logged for a later time can make nothing invalid.
CREATE TABLE rollup_progress (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  rolled_until INTEGER NOT NULL
);

INSERT INTO rollup_progress (id, rolled_until) VALUES (1, 0);

CREATE TRIGGER forget_rollups AFTER INSERT ON request_logs
WHEN NEW.timestamp < (SELECT rolled_until FROM rollup_progress WHERE id = 1)
BEGIN
  DELETE FROM rolled_up WHERE width = 3600000 AND start = CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000;
  DELETE FROM rolled_up WHERE width = 21600000 AND start = CAST(NEW.timestamp AS INTEGER) / 21600000 * 21600000;
  DELETE FROM rolled_up WHERE width = 86400000 AND start = CAST(NEW.timestamp AS INTEGER) / 86400000 * 86400000;
END;

-- Views only to hang triggers on: one INSERT is one step, whole or not at all.
CREATE VIEW hours_to_roll_up (start, dimension) AS SELECT NULL, NULL WHERE FALSE;

CREATE VIEW spans_to_roll_up (start, width, part_width, dimension) AS SELECT NULL, NULL, NULL, NULL WHERE FALSE;

-- The quarters of one hour, and the hour, for one dimension. Of each single combination the quarters are the buckets.
CREATE TRIGGER roll_up_hour INSTEAD OF INSERT ON hours_to_roll_up
BEGIN
  DELETE FROM usage_rollups
  WHERE width IN (900000, 3600000) AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + 3600000;

  DELETE FROM duration_rollups
  WHERE width IN (900000, 3600000) AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + 3600000;

  INSERT INTO usage_rollups
  SELECT
    900000, dimension, start,
    IIF(by_chain, chain_name, '') AS chain, IIF(by_provider, provider_id, '') AS provider,
    IIF(by_model, model, '') AS name, IIF(by_caller, caller, '') AS who,
    SUM(requests), SUM(errors), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens), SUM(completion_tokens),
    SUM(cached_tokens), SUM(total_tokens), SUM(cost_usd), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
  FROM rollup_dimensions CROSS JOIN usage_buckets
  WHERE dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + 3600000
  GROUP BY start, chain, provider, name, who;

  INSERT INTO usage_rollups
  SELECT
    3600000, dimension, NEW.start, chain_name, provider_id, model, caller,
    SUM(requests), SUM(errors), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens), SUM(completion_tokens),
    SUM(cached_tokens), SUM(total_tokens), SUM(cost_usd), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
  FROM usage_rollups
  WHERE width = 900000 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + 3600000
  GROUP BY chain_name, provider_id, model, caller;

  INSERT INTO duration_rollups
  SELECT
    900000, dimension, start,
    IIF(by_chain, chain_name, '') AS chain, IIF(by_provider, provider_id, '') AS provider,
    IIF(by_model, model, '') AS name, IIF(by_caller, caller, '') AS who, upper_ms, SUM(latencies), SUM(ttfts)
  FROM rollup_dimensions CROSS JOIN (
    SELECT start, chain_name, provider_id, model, caller, upper_ms, requests AS latencies, 0 AS ttfts
    FROM usage_buckets WHERE start >= NEW.start AND start < NEW.start + 3600000
    UNION ALL
    SELECT start, chain_name, provider_id, model, caller, upper_ms, 0, requests
    FROM ttft_buckets WHERE start >= NEW.start AND start < NEW.start + 3600000
  )
  WHERE dimension = NEW.dimension
  GROUP BY start, chain, provider, name, who, upper_ms;

  INSERT INTO duration_rollups
  SELECT
    3600000, dimension, NEW.start, chain_name, provider_id, model, caller, upper_ms, SUM(latencies), SUM(ttfts)
  FROM duration_rollups
  WHERE width = 900000 AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + 3600000
  GROUP BY chain_name, provider_id, model, caller, upper_ms;

  DELETE FROM usage_rollups
  WHERE NEW.dimension = 'each' AND width = 900000 AND dimension = 'each'
    AND start >= NEW.start AND start < NEW.start + 3600000;

  DELETE FROM duration_rollups
  WHERE NEW.dimension = 'each' AND width = 900000 AND dimension = 'each'
    AND start >= NEW.start AND start < NEW.start + 3600000;
END;

-- A longer span from its parts, for one dimension.
CREATE TRIGGER roll_up_span INSTEAD OF INSERT ON spans_to_roll_up
BEGIN
  DELETE FROM usage_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start;

  DELETE FROM duration_rollups WHERE width = NEW.width AND dimension = NEW.dimension AND start = NEW.start;

  INSERT INTO usage_rollups
  SELECT
    NEW.width, dimension, NEW.start, chain_name, provider_id, model, caller,
    SUM(requests), SUM(errors), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens), SUM(completion_tokens),
    SUM(cached_tokens), SUM(total_tokens), SUM(cost_usd), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
  FROM usage_rollups
  WHERE width = NEW.part_width AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
  GROUP BY chain_name, provider_id, model, caller;

  INSERT INTO duration_rollups
  SELECT
    NEW.width, dimension, NEW.start, chain_name, provider_id, model, caller, upper_ms, SUM(latencies), SUM(ttfts)
  FROM duration_rollups
  WHERE width = NEW.part_width AND dimension = NEW.dimension AND start >= NEW.start AND start < NEW.start + NEW.width
  GROUP BY chain_name, provider_id, model, caller, upper_ms;
END;
