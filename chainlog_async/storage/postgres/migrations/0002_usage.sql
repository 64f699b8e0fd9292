-- Totals, and usage by quarter of an hour. Batches only bring rows; `fold` adds them up a moment later, many at once and
-- one process at a time. So no writer waits for another's totals, and whoever reads adds what is in `batches` still, in
-- the same statement (the views `unfolded_…`): numbers are right at every moment.

CREATE TABLE usage_by_provider (
  provider_id text PRIMARY KEY,
  total_requests bigint NOT NULL,
  total_tokens numeric NOT NULL,
  total_prompt_tokens numeric NOT NULL,
  total_completion_tokens numeric NOT NULL,
  last_request_timestamp bigint NOT NULL,
  total_cost_nano numeric NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE usage_by_chain (
  chain_name text PRIMARY KEY,
  total_requests bigint NOT NULL,
  total_tokens numeric NOT NULL,
  total_prompt_tokens numeric NOT NULL,
  total_completion_tokens numeric NOT NULL,
  last_request_timestamp bigint NOT NULL,
  total_cost_nano numeric NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE usage_summary (
  one boolean PRIMARY KEY DEFAULT TRUE CHECK (one),
  total_requests bigint NOT NULL,
  waterfall_requests bigint NOT NULL,
  total_latency_ms numeric NOT NULL
) WITH (fillfactor = 10);
INSERT INTO usage_summary (total_requests, waterfall_requests, total_latency_ms) VALUES (0, 0, 0);

-- How many rows each day (ms, UTC) has in the log.
CREATE TABLE log_days (day bigint PRIMARY KEY, rows bigint NOT NULL) WITH (fillfactor = 50);

-- Bins of durations: see migrations/0007 of SQLite. A constant array is searched in C.
CREATE FUNCTION bin_of(ms bigint) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN width_bucket(ms, '{}'::bigint[]);

DO $do$
DECLARE
  bounds bigint[];
BEGIN
  WITH RECURSIVE bins (upper_ms) AS (
    VALUES (0::bigint) UNION ALL SELECT (upper_ms + 1) * 21 / 19 FROM bins WHERE upper_ms < 1000000000000
  )
  SELECT array_agg(upper_ms + 1 ORDER BY upper_ms) INTO bounds FROM bins;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION bin_of(ms bigint) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE '
    'RETURN width_bucket(ms, %L::bigint[])', bounds);
END $do$;

-- A histogram is an array with a number for each bin that has any requests: 512 times how many, plus the bin's number.
CREATE FUNCTION add_histograms(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN a = '{}' THEN b
  WHEN b = '{}' THEN a
  ELSE ARRAY(
    SELECT (512 * sum(v >> 9))::bigint + (v & 511) FROM unnest(a || b) AS v GROUP BY v & 511 ORDER BY v & 511
  )
END;

-- Who a line of usage is of. The four names together may be too long for an index, so their hash is the key.
CREATE FUNCTION group_of(chain text, provider text, model text, caller text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN md5(
  length(chain)::text || ' ' || length(provider)::text || ' ' || length(model)::text || ' '
  || chain || provider || model || caller
)::uuid;

-- `caller` is '' for requests without one.
CREATE TABLE usage_groups (
  group_id uuid PRIMARY KEY,
  chain_name text NOT NULL,
  provider_id text NOT NULL,
  model text NOT NULL,
  caller text NOT NULL
);

-- A line for each quarter of an hour and group. `errors` are the requests that failed; `latency_ms`, `ttft_ms`,
-- `ttft_requests` and the first two histograms are of answered requests, the other two of all others. Costs are in
-- billionths of a US dollar, so that sums do not depend on their order.
CREATE TABLE usage_buckets (
  start bigint NOT NULL,
  group_id uuid NOT NULL,
  requests bigint NOT NULL,
  errors bigint NOT NULL,
  cancelled bigint NOT NULL,
  rate_limited bigint NOT NULL,
  waterfalls bigint NOT NULL,
  ttft_requests bigint NOT NULL,
  prompt_tokens numeric NOT NULL,
  completion_tokens numeric NOT NULL,
  cached_tokens numeric NOT NULL,
  cache_write_tokens numeric NOT NULL,
  cache_write_1h_tokens numeric NOT NULL,
  reasoning_tokens numeric NOT NULL,
  prompt_audio_tokens numeric NOT NULL,
  completion_audio_tokens numeric NOT NULL,
  total_tokens numeric NOT NULL,
  cost_nano numeric NOT NULL,
  unanswered_cost_nano numeric NOT NULL,
  latency_ms numeric NOT NULL,
  ttft_ms numeric NOT NULL,
  latencies bigint[] NOT NULL,
  ttfts bigint[] NOT NULL,
  failed_latencies bigint[] NOT NULL,
  failed_ttfts bigint[] NOT NULL,
  PRIMARY KEY (start, group_id)
) WITH (fillfactor = 70);

-- Every attempt, not only the one that answered: how often each provider really refuses. As in SQLite's, a row without a
-- trail shows one attempt, its last, and none if no provider was asked.
CREATE TABLE attempt_buckets (
  start bigint NOT NULL,
  provider_id text NOT NULL,
  model text NOT NULL,
  tries bigint NOT NULL,
  successes bigint NOT NULL,
  rate_limited bigint NOT NULL,
  failures bigint NOT NULL,
  last_error text,
  last_error_status integer,
  last_error_at bigint,
  -- The id of the row whose attempt it was: of two errors at the same time the one that was stored later is the last.
  last_error_id bigint,
  PRIMARY KEY (start, provider_id, model)
) WITH (fillfactor = 70);

-- All-time totals by chain, provider and model for counters that are scraped, each with the start of the first bucket that
-- had it. The key is `group_of` these three.
CREATE TABLE usage_totals (
  group_id uuid PRIMARY KEY,
  chain_name text NOT NULL,
  provider_id text NOT NULL,
  model text NOT NULL,
  first_start bigint NOT NULL,
  requests bigint NOT NULL,
  errors bigint NOT NULL,
  cancelled bigint NOT NULL,
  rate_limited bigint NOT NULL,
  waterfalls bigint NOT NULL,
  ttft_requests bigint NOT NULL,
  prompt_tokens numeric NOT NULL,
  completion_tokens numeric NOT NULL,
  cached_tokens numeric NOT NULL,
  cache_write_tokens numeric NOT NULL,
  cache_write_1h_tokens numeric NOT NULL,
  reasoning_tokens numeric NOT NULL,
  prompt_audio_tokens numeric NOT NULL,
  completion_audio_tokens numeric NOT NULL,
  total_tokens numeric NOT NULL,
  cost_nano numeric NOT NULL,
  unanswered_cost_nano numeric NOT NULL,
  latency_ms numeric NOT NULL,
  ttft_ms numeric NOT NULL,
  latencies bigint[] NOT NULL,
  ttfts bigint[] NOT NULL,
  failed_latencies bigint[] NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE attempt_totals (
  provider_id text NOT NULL,
  model text NOT NULL,
  first_start bigint NOT NULL,
  tries bigint NOT NULL,
  successes bigint NOT NULL,
  rate_limited bigint NOT NULL,
  failures bigint NOT NULL,
  PRIMARY KEY (provider_id, model)
) WITH (fillfactor = 50);

-- What is rolled up of the buckets: see `roll_up`. The names that a dimension does not have are '' in its groups.
CREATE TABLE rollup_dimensions (
  dimension text PRIMARY KEY,
  bit integer NOT NULL,
  by_chain boolean NOT NULL,
  by_provider boolean NOT NULL,
  by_model boolean NOT NULL,
  by_caller boolean NOT NULL
);

INSERT INTO rollup_dimensions (dimension, bit, by_chain, by_provider, by_model, by_caller) VALUES
  ('all', 1, FALSE, FALSE, FALSE, FALSE),
  ('chain', 2, TRUE, FALSE, FALSE, FALSE),
  ('provider', 4, FALSE, TRUE, FALSE, FALSE),
  ('model', 8, FALSE, FALSE, TRUE, FALSE),
  ('caller', 16, FALSE, FALSE, FALSE, TRUE),
  ('chain+provider', 32, TRUE, TRUE, FALSE, FALSE),
  ('chain+model', 64, TRUE, FALSE, TRUE, FALSE),
  ('chain+caller', 128, TRUE, FALSE, FALSE, TRUE),
  ('provider+model', 256, FALSE, TRUE, TRUE, FALSE),
  ('provider+caller', 512, FALSE, TRUE, FALSE, TRUE),
  ('model+caller', 1024, FALSE, FALSE, TRUE, TRUE),
  ('each', 2048, TRUE, TRUE, TRUE, TRUE);

-- `width` is in ms: a quarter of an hour, one hour, four, twelve or a day (UTC).
CREATE TABLE usage_rollups (
  width bigint NOT NULL,
  dimension text NOT NULL,
  LIKE usage_buckets,
  PRIMARY KEY (width, dimension, start, group_id)
);

CREATE TABLE attempt_rollups (
  LIKE attempt_buckets,
  PRIMARY KEY (start, provider_id, model)
);

-- What is rolled up and valid, and in which dimensions (the sum of their bits). A late row makes all of it invalid: `fold`
-- deletes the line, and what was rolled up is made anew.
CREATE TABLE rolled_up (
  width bigint NOT NULL,
  start bigint NOT NULL,
  dimensions integer NOT NULL,
  PRIMARY KEY (width, start)
);
