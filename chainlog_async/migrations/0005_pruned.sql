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

INSERT INTO pruned_summary (id, total_requests, waterfall_requests, total_latency_ms) VALUES (1, 0, 0, 0);

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
