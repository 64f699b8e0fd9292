-- Usage over time without a look at the log: sums per quarter of an hour (UTC) and per bin of latency. A quarter of an
-- hour, because every time zone in use begins its days on one.

-- Bins of durations, each named by its largest whole ms. From one more than the bound before, l, to its own, u, a bin
-- reaches so far that the value 2lu/(l+u) is at most 5 % away from any in it: u = l * (1 + 0.05) / (1 - 0.05), as in
-- DDSketch (Masson, Rim and Lee, 2019, https://www.vldb.org/pvldb/vol12/p2195-masson.pdf).
CREATE TABLE duration_bins (upper_ms INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE);

WITH RECURSIVE bins (upper_ms, number) AS (
  VALUES (0, 0) UNION ALL SELECT (upper_ms + 1) * 21 / 19, number + 1 FROM bins WHERE upper_ms < 1000000000000
)
INSERT INTO duration_bins (upper_ms, number)
SELECT upper_ms, number FROM bins UNION ALL SELECT 9223372036854775807, MAX(number) + 1 FROM bins;

-- Text keys rather than ids of a table of names: looking an id up takes longer than the longer keys do.
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
  cost_usd REAL NOT NULL,
  latency_ms INTEGER NOT NULL,
  ttft_ms INTEGER NOT NULL,
  ttft_requests INTEGER NOT NULL,
  PRIMARY KEY (start, chain_name, provider_id, model, caller, upper_ms)
) WITHOUT ROWID;

CREATE TABLE ttft_buckets (
  start INTEGER NOT NULL,
  chain_name TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  caller TEXT NOT NULL,
  upper_ms INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  PRIMARY KEY (start, chain_name, provider_id, model, caller, upper_ms)
) WITHOUT ROWID;

-- Every try, not only the one that answered: how often each provider really refuses.
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

-- What is in no bucket, because it was deleted before there were any: all else that was pruned is in one.
CREATE TABLE pruned_before_buckets (
  provider_id TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  total_prompt_tokens INTEGER NOT NULL,
  total_completion_tokens INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO pruned_before_buckets (
  provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens
)
SELECT provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens FROM pruned_by_provider;

CREATE TRIGGER update_usage_buckets AFTER INSERT ON request_logs
BEGIN
  INSERT INTO usage_buckets (
    start, chain_name, provider_id, model, caller, upper_ms,
    requests, errors, rate_limited, waterfalls,
    prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd, latency_ms, ttft_ms, ttft_requests
  )
  VALUES (
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, NEW.chain_name, NEW.provider_id, NEW.model,
    COALESCE(NEW.caller, ''),
    (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(NEW.latency_ms) ORDER BY upper_ms LIMIT 1),
    1, NEW.http_status >= 400, NEW.http_status = 429, NEW.attempts > 1,
    NEW.prompt_tokens, NEW.completion_tokens, COALESCE(NEW.cached_tokens, 0), NEW.total_tokens,
    COALESCE(NEW.cost_usd, 0), NEW.latency_ms, COALESCE(NEW.ttft_ms, 0), NEW.ttft_ms IS NOT NULL
  )
  ON CONFLICT DO UPDATE SET
    requests = requests + 1,
    errors = errors + excluded.errors,
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

CREATE TRIGGER update_ttft_buckets AFTER INSERT ON request_logs WHEN NEW.ttft_ms IS NOT NULL
BEGIN
  INSERT INTO ttft_buckets (start, chain_name, provider_id, model, caller, upper_ms, requests)
  VALUES (
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, NEW.chain_name, NEW.provider_id, NEW.model,
    COALESCE(NEW.caller, ''),
    (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(NEW.ttft_ms) ORDER BY upper_ms LIMIT 1),
    1
  )
  ON CONFLICT DO UPDATE SET requests = requests + 1;
END;

-- A row without a trail shows one try, its last, and none if no provider was asked. A client that went away (499) is
-- nobody's failure.
CREATE TRIGGER update_attempt_buckets AFTER INSERT ON request_logs WHEN NEW.attempt_trail IS NULL AND NEW.attempts > 0
BEGIN
  INSERT INTO attempt_buckets (
    start, provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at
  )
  VALUES (
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, NEW.provider_id, NEW.model,
    1, NEW.http_status < 400, NEW.http_status = 429, NEW.http_status >= 400 AND NEW.http_status NOT IN (429, 499),
    CASE WHEN NEW.http_status >= 400 THEN SUBSTR(NEW.error_message, 1, 500) END,
    CASE WHEN NEW.http_status >= 400 THEN NEW.http_status END,
    CASE WHEN NEW.http_status >= 400 THEN NEW.timestamp END
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

-- A try to which the provider sent no status (a refused connection, a timeout) is a failure.
CREATE TRIGGER update_attempt_buckets_by_trail AFTER INSERT ON request_logs WHEN NEW.attempt_trail IS NOT NULL
BEGIN
  INSERT INTO attempt_buckets (
    start, provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at
  )
  SELECT
    CAST(NEW.timestamp AS INTEGER) / 900000 * 900000, value ->> 'provider_id', value ->> 'model',
    1, COALESCE(value ->> 'http_status', 599) < 400, COALESCE(value ->> 'http_status', 599) = 429,
    COALESCE(value ->> 'http_status', 599) >= 400 AND COALESCE(value ->> 'http_status', 599) NOT IN (429, 499),
    CASE WHEN COALESCE(value ->> 'http_status', 599) >= 400 THEN SUBSTR(value ->> 'error_message', 1, 500) END,
    CASE WHEN COALESCE(value ->> 'http_status', 599) >= 400 THEN value ->> 'http_status' END,
    CASE WHEN COALESCE(value ->> 'http_status', 599) >= 400 THEN NEW.timestamp END
  FROM json_each(NEW.attempt_trail)
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

-- What is in the log already; nothing that was recorded before 0006 has a trail, a caller or a time to first token.
-- @slices
INSERT INTO usage_buckets (
  start, chain_name, provider_id, model, caller, upper_ms,
  requests, errors, rate_limited, waterfalls,
  prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd, latency_ms, ttft_ms, ttft_requests
)
SELECT
  CAST(timestamp AS INTEGER) / 900000 * 900000, chain_name, provider_id, model, COALESCE(caller, ''),
  (SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(latency_ms) ORDER BY upper_ms LIMIT 1),
  COUNT(*), SUM(http_status >= 400), SUM(http_status = 429), SUM(attempts > 1),
  SUM(prompt_tokens), SUM(completion_tokens), SUM(COALESCE(cached_tokens, 0)), SUM(total_tokens),
  SUM(COALESCE(cost_usd, 0)), SUM(latency_ms), SUM(COALESCE(ttft_ms, 0)), COUNT(ttft_ms)
FROM request_logs
WHERE id > :after AND id <= :until
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT DO UPDATE SET
  requests = requests + excluded.requests,
  errors = errors + excluded.errors,
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

-- MAX alone of its kind: the error message is then taken from the row with the largest time.
-- @slices
INSERT INTO attempt_buckets (
  start, provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at
)
SELECT
  CAST(timestamp AS INTEGER) / 900000 * 900000, provider_id, model,
  COUNT(*), SUM(http_status < 400), SUM(http_status = 429), SUM(http_status >= 400 AND http_status NOT IN (429, 499)),
  CASE WHEN http_status >= 400 THEN SUBSTR(error_message, 1, 500) END,
  CASE WHEN http_status >= 400 THEN http_status END,
  MAX(CASE WHEN http_status >= 400 THEN timestamp END)
FROM request_logs
WHERE id > :after AND id <= :until AND attempts > 0
GROUP BY 1, 2, 3
ON CONFLICT DO UPDATE SET
  tries = tries + excluded.tries,
  successes = successes + excluded.successes,
  rate_limited = rate_limited + excluded.rate_limited,
  failures = failures + excluded.failures,
  last_error = IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error, last_error),
  last_error_status =
    IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error_status, last_error_status),
  last_error_at = IIF(excluded.last_error_at >= COALESCE(last_error_at, 0), excluded.last_error_at, last_error_at);

-- Pages of requests come in order of time, from any place on; what matches no filter for long is passed over by what is
-- rolled up (skipping.py). An index for each filter would take longer than all the rest of a row. Of 429chain's three, two
-- led nowhere, and the third, backwards as it was, left each page half empty.
DROP INDEX IF EXISTS idx_logs_timestamp;
DROP INDEX IF EXISTS idx_logs_provider;
DROP INDEX IF EXISTS idx_logs_chain;
CREATE INDEX idx_logs_timestamp ON request_logs (timestamp);
CREATE INDEX idx_logs_errors ON request_logs (timestamp) WHERE http_status >= 400;
CREATE INDEX idx_logs_request_id ON request_logs (request_id, timestamp) WHERE request_id IS NOT NULL;
