-- What was deleted from the log stays in the totals; these tables keep it apart, so that totals can be checked
-- against the rows that are left, and rebuilt from them.

CREATE TABLE pruned_by_provider (
  provider_id TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  total_prompt_tokens INTEGER NOT NULL,
  total_completion_tokens INTEGER NOT NULL,
  last_request_timestamp INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE pruned_by_chain (
  chain_name TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  total_prompt_tokens INTEGER NOT NULL,
  total_completion_tokens INTEGER NOT NULL,
  last_request_timestamp INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE pruned_summary (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  total_requests INTEGER NOT NULL,
  waterfall_requests INTEGER NOT NULL,
  total_latency_ms INTEGER NOT NULL
);

-- What was deleted before this step is in the totals too: where they have more requests than there are rows, the rest
-- was pruned. Where they have fewer, they are wrong, and that is for `chainlog check` to say. OR IGNORE: a line without
-- a name or a time, which no trigger has made, must not keep the database from being opened.
INSERT OR IGNORE INTO pruned_by_provider (
  provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp
)
SELECT
  kept.provider_id,
  kept.total_requests - COALESCE(counted.requests, 0),
  MAX(kept.total_tokens - COALESCE(counted.tokens, 0), 0),
  MAX(kept.total_prompt_tokens - COALESCE(counted.prompts, 0), 0),
  MAX(kept.total_completion_tokens - COALESCE(counted.completions, 0), 0),
  kept.last_request_timestamp
FROM usage_by_provider AS kept
LEFT JOIN (
  SELECT
    provider_id, COUNT(*) AS requests, SUM(total_tokens) AS tokens, SUM(prompt_tokens) AS prompts,
    SUM(completion_tokens) AS completions
  FROM request_logs GROUP BY +provider_id
) AS counted ON counted.provider_id = kept.provider_id
WHERE kept.total_requests > COALESCE(counted.requests, 0);

INSERT OR IGNORE INTO pruned_by_chain (
  chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp
)
SELECT
  kept.chain_name,
  kept.total_requests - COALESCE(counted.requests, 0),
  MAX(kept.total_tokens - COALESCE(counted.tokens, 0), 0),
  MAX(kept.total_prompt_tokens - COALESCE(counted.prompts, 0), 0),
  MAX(kept.total_completion_tokens - COALESCE(counted.completions, 0), 0),
  kept.last_request_timestamp
FROM usage_by_chain AS kept
LEFT JOIN (
  SELECT
    chain_name, COUNT(*) AS requests, SUM(total_tokens) AS tokens, SUM(prompt_tokens) AS prompts,
    SUM(completion_tokens) AS completions
  FROM request_logs GROUP BY +chain_name
) AS counted ON counted.chain_name = kept.chain_name
WHERE kept.total_requests > COALESCE(counted.requests, 0);

-- 429chain counted its summary from the rows, so what it had deleted is not in there.
INSERT INTO pruned_summary (id, total_requests, waterfall_requests, total_latency_ms)
SELECT
  1,
  MAX(total_requests - requests, 0),
  IIF(total_requests > requests, MAX(kept.waterfall_requests - waterfalls, 0), 0),
  IIF(total_requests > requests, MAX(kept.total_latency_ms - latencies, 0), 0)
FROM usage_summary AS kept, (
  SELECT
    COUNT(*) AS requests, COALESCE(SUM(attempts > 1), 0) AS waterfalls, COALESCE(SUM(latency_ms), 0) AS latencies
  FROM request_logs
);

CREATE TRIGGER remember_pruned AFTER DELETE ON request_logs
BEGIN
  INSERT INTO pruned_by_provider (
    provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp
  )
  VALUES (OLD.provider_id, 1, OLD.total_tokens, OLD.prompt_tokens, OLD.completion_tokens, OLD.timestamp)
  ON CONFLICT (provider_id) DO UPDATE SET
    total_requests = total_requests + 1,
    total_tokens = total_tokens + excluded.total_tokens,
    total_prompt_tokens = total_prompt_tokens + excluded.total_prompt_tokens,
    total_completion_tokens = total_completion_tokens + excluded.total_completion_tokens,
    last_request_timestamp = MAX(last_request_timestamp, excluded.last_request_timestamp);

  INSERT INTO pruned_by_chain (
    chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp
  )
  VALUES (OLD.chain_name, 1, OLD.total_tokens, OLD.prompt_tokens, OLD.completion_tokens, OLD.timestamp)
  ON CONFLICT (chain_name) DO UPDATE SET
    total_requests = total_requests + 1,
    total_tokens = total_tokens + excluded.total_tokens,
    total_prompt_tokens = total_prompt_tokens + excluded.total_prompt_tokens,
    total_completion_tokens = total_completion_tokens + excluded.total_completion_tokens,
    last_request_timestamp = MAX(last_request_timestamp, excluded.last_request_timestamp);

  UPDATE pruned_summary SET
    total_requests = total_requests + 1,
    waterfall_requests = waterfall_requests + (OLD.attempts > 1),
    total_latency_ms = total_latency_ms + OLD.latency_ms
  WHERE id = 1;
END;
