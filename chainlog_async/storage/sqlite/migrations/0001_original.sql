-- The schema of 429chain's first release: its names, columns, indexes and triggers.
-- IF NOT EXISTS: the original creates these and only then sets the version, so a kill in between leaves them at version 0.

CREATE TABLE IF NOT EXISTS request_logs (
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
);

CREATE INDEX IF NOT EXISTS idx_logs_timestamp ON request_logs (timestamp DESC);
CREATE INDEX IF NOT EXISTS idx_logs_provider ON request_logs (provider_id, model);
CREATE INDEX IF NOT EXISTS idx_logs_chain ON request_logs (chain_name);

CREATE TABLE IF NOT EXISTS usage_by_provider (
  provider_id TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL DEFAULT 0,
  total_tokens INTEGER NOT NULL DEFAULT 0,
  total_prompt_tokens INTEGER NOT NULL DEFAULT 0,
  total_completion_tokens INTEGER NOT NULL DEFAULT 0,
  last_request_timestamp INTEGER
);

CREATE TABLE IF NOT EXISTS usage_by_chain (
  chain_name TEXT PRIMARY KEY,
  total_requests INTEGER NOT NULL DEFAULT 0,
  total_tokens INTEGER NOT NULL DEFAULT 0,
  total_prompt_tokens INTEGER NOT NULL DEFAULT 0,
  total_completion_tokens INTEGER NOT NULL DEFAULT 0,
  last_request_timestamp INTEGER
);

CREATE TRIGGER IF NOT EXISTS update_provider_usage AFTER INSERT ON request_logs
BEGIN
  INSERT INTO usage_by_provider (
    provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp
  )
  VALUES (NEW.provider_id, 1, NEW.total_tokens, NEW.prompt_tokens, NEW.completion_tokens, NEW.timestamp)
  ON CONFLICT (provider_id) DO UPDATE SET
    total_requests = total_requests + 1,
    total_tokens = total_tokens + excluded.total_tokens,
    total_prompt_tokens = total_prompt_tokens + excluded.total_prompt_tokens,
    total_completion_tokens = total_completion_tokens + excluded.total_completion_tokens,
    last_request_timestamp = MAX(last_request_timestamp, excluded.last_request_timestamp);
END;

CREATE TRIGGER IF NOT EXISTS update_chain_usage AFTER INSERT ON request_logs
BEGIN
  INSERT INTO usage_by_chain (
    chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp
  )
  VALUES (NEW.chain_name, 1, NEW.total_tokens, NEW.prompt_tokens, NEW.completion_tokens, NEW.timestamp)
  ON CONFLICT (chain_name) DO UPDATE SET
    total_requests = total_requests + 1,
    total_tokens = total_tokens + excluded.total_tokens,
    total_prompt_tokens = total_prompt_tokens + excluded.total_prompt_tokens,
    total_completion_tokens = total_completion_tokens + excluded.total_completion_tokens,
    last_request_timestamp = MAX(last_request_timestamp, excluded.last_request_timestamp);
END;
