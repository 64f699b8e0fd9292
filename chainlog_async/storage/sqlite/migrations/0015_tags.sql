-- Usage by tag, in buckets of an hour (UTC); and indexes that lead to sessions.

-- The values that are counted by themselves: the first 1,000 of each of the first 100 keys. All others of a key are
-- counted as '(others)', and keys beyond the first 100 not at all.
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

-- By the hour and without histograms: at quarters of an hour, three tags would take as much space as all other buckets.
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

-- The buckets of an hour added up by tag alone; valid while the hour is rolled up as a whole (dimension 'all').
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

-- Under which tags each request is counted; a tag that it has twice counts once.
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

-- As `change_cost` (0013), which also makes the rollups of the hour invalid.
CREATE TRIGGER change_cost_of_tags AFTER UPDATE OF cost_usd ON request_logs
WHEN NEW.tags IS NOT NULL AND COALESCE(NEW.cost_nano, 0) <> COALESCE(OLD.cost_nano, 0)
BEGIN
  UPDATE tag_buckets SET cost_nano = cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0)
  WHERE start = CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000
    AND (tag_key, tag_value) IN (SELECT tag_key, tag_value FROM counted_tags WHERE id = NEW.id)
    AND chain_name = NEW.chain_name AND provider_id = NEW.provider_id AND model = NEW.model
    AND caller = COALESCE(NEW.caller, '');
END;

-- In the step that makes the hour valid.
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

-- What is in the log already, in the order of arrival, as the trigger does it.
-- @slices
INSERT INTO tag_values (tag_key, tag_value)
SELECT tag_key, tag_value FROM (
  SELECT
    tag_key, tag_value, first_id, COALESCE(value_count, 0) AS known_values, value_count IS NULL AS is_new,
    ROW_NUMBER() OVER (PARTITION BY tag_key ORDER BY first_id, tag_value) AS place,
    MIN(first_id) OVER (PARTITION BY tag_key) AS key_seen
  FROM (
    SELECT
      SUBSTR(value, 1, INSTR(value, ':') - 1) AS tag_key, SUBSTR(value, INSTR(value, ':') + 1) AS tag_value,
      MIN(request_logs.id) AS first_id
    FROM request_logs CROSS JOIN json_each(tags)
    WHERE request_logs.id > :after AND request_logs.id <= :until AND tags IS NOT NULL
    GROUP BY 1, 2
  ) LEFT JOIN tag_keys USING (tag_key)
  WHERE (tag_key, tag_value) NOT IN (SELECT tag_key, tag_value FROM tag_values)
)
WHERE known_values + place <= 1000 AND (NOT is_new OR tag_key IN (
  SELECT SUBSTR(value, 1, INSTR(value, ':') - 1)
  FROM request_logs CROSS JOIN json_each(tags)
  WHERE request_logs.id > :after AND request_logs.id <= :until AND tags IS NOT NULL
    AND SUBSTR(value, 1, INSTR(value, ':') - 1) NOT IN (SELECT tag_key FROM tag_keys)
  GROUP BY 1 ORDER BY MIN(request_logs.id), 1 LIMIT MAX(100 - (SELECT COUNT(*) FROM tag_keys), 0)
));

-- @slices
INSERT INTO tag_buckets (
  start, tag_key, tag_value, chain_name, provider_id, model, caller,
  requests, errors, cancelled, rate_limited, waterfalls,
  prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
  reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, total_tokens, cost_nano, unanswered_cost_nano,
  latency_ms, ttft_ms, ttft_requests
)
SELECT
  CAST(timestamp AS INTEGER) / 3600000 * 3600000, tag_key, tag_value,
  chain_name, provider_id, model, COALESCE(caller, ''),
  COUNT(*), SUM(outcome = 'failed'), SUM(outcome = 'cancelled'), SUM(http_status = 429), SUM(attempts > 1),
  SUM(prompt_tokens), SUM(completion_tokens), SUM(COALESCE(cached_tokens, 0)),
  SUM(COALESCE(cache_write_tokens, 0)), SUM(COALESCE(cache_write_1h_tokens, 0)), SUM(COALESCE(reasoning_tokens, 0)),
  SUM(COALESCE(prompt_audio_tokens, 0)), SUM(COALESCE(completion_audio_tokens, 0)), SUM(total_tokens),
  SUM(COALESCE(cost_nano, 0)),
  SUM(CASE WHEN attempt_trail IS NULL THEN 0 ELSE (
    SELECT COALESCE(SUM(CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
    FROM json_each(attempt_trail)
    WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
  ) END),
  SUM(IIF(outcome = 'answered', latency_ms, 0)), SUM(IIF(outcome = 'answered', COALESCE(ttft_ms, 0), 0)),
  SUM(outcome = 'answered' AND ttft_ms IS NOT NULL)
FROM counted_tags CROSS JOIN request_logs USING (id)
WHERE counted_tags.id > :after AND counted_tags.id <= :until
GROUP BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT DO UPDATE SET
  requests = requests + excluded.requests,
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

-- Of the hours that are rolled up; without this, `tag_rollups` would be empty where readers take them as valid.
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
FROM tag_buckets
WHERE start IN (SELECT start FROM rolled_up WHERE width = 3600000 AND taken_by IS NULL)
GROUP BY start, tag_key, tag_value;

-- The requests of a session, and those that have one, by time.
CREATE INDEX idx_logs_session ON request_logs (session_id, timestamp) WHERE session_id IS NOT NULL;
CREATE INDEX idx_logs_sessions ON request_logs (timestamp) WHERE session_id IS NOT NULL;
