-- chainlog-async: the summary without a scan, and a batch as one statement.

CREATE TABLE usage_summary (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  total_requests INTEGER NOT NULL,
  waterfall_requests INTEGER NOT NULL,
  total_latency_ms INTEGER NOT NULL
);

INSERT INTO usage_summary (id, total_requests, waterfall_requests, total_latency_ms)
SELECT 1, COUNT(*), COALESCE(SUM(attempts > 1), 0), COALESCE(SUM(latency_ms), 0) FROM request_logs;

CREATE TRIGGER update_usage_summary AFTER INSERT ON request_logs
BEGIN
  UPDATE usage_summary SET
    total_requests = total_requests + 1,
    waterfall_requests = waterfall_requests + (NEW.attempts > 1),
    total_latency_ms = total_latency_ms + NEW.latency_ms
  WHERE id = 1;
END;

-- How far each writer's stream of lines is committed, in bytes: a batch and this number go in together.
CREATE TABLE writer_positions (
  writer_id TEXT PRIMARY KEY,
  position INTEGER NOT NULL
) WITHOUT ROWID;

-- RAISE(FAIL) in a trigger of somebody's ends a statement and commits what it did so far. A row here refers to nothing,
-- so SQLite commits no batch that ends before it is deleted again.
CREATE TABLE unfinished_batches (
  summary_id INTEGER NOT NULL REFERENCES usage_summary (id) DEFERRABLE INITIALLY DEFERRED
);

-- A view only to hang the trigger on: one INSERT here is one batch, whole or not at all.
CREATE VIEW batches (writer_id, start_position, end_position, lines) AS
SELECT NULL, NULL, NULL, NULL WHERE FALSE;

-- A batch that is committed already is passed over, so one whose fate is unknown can simply be sent again.
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
    latency_ms, http_status, attempts, error_message
  )
  SELECT
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
    COALESCE(value ->> 6, (value ->> 4) + (value ->> 5)),
    CAST((value ->> 7) + 0.5 AS INTEGER), value ->> 8, value ->> 9, value ->> 10
  FROM json_each(CAST(NEW.lines AS TEXT));

  INSERT INTO writer_positions (writer_id, position) VALUES (NEW.writer_id, NEW.end_position)
  ON CONFLICT (writer_id) DO UPDATE SET position = excluded.position;

  DELETE FROM unfinished_batches;
END;
