-- More of each request, all of it optional: who asked, what it cost, how fast it began, and every try of the chain.

ALTER TABLE request_logs ADD COLUMN request_id TEXT;
ALTER TABLE request_logs ADD COLUMN caller TEXT;
ALTER TABLE request_logs ADD COLUMN ttft_ms INTEGER;
ALTER TABLE request_logs ADD COLUMN cost_usd REAL;
ALTER TABLE request_logs ADD COLUMN streamed INTEGER;
ALTER TABLE request_logs ADD COLUMN cached_tokens INTEGER;
ALTER TABLE request_logs ADD COLUMN metadata TEXT;
ALTER TABLE request_logs ADD COLUMN attempt_trail TEXT;

-- As in 0003, with the new columns. A line of an older release, left in a journal, has fewer values: they are NULL.
DROP TRIGGER write_batch;

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
    request_id, caller, ttft_ms, cost_usd, streamed, cached_tokens, metadata, attempt_trail
  )
  SELECT
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
    COALESCE(value ->> 6, (value ->> 4) + (value ->> 5)),
    CAST((value ->> 7) + 0.5 AS INTEGER), value ->> 8, value ->> 9, value ->> 10,
    value ->> 11, value ->> 12, CAST((value ->> 13) + 0.5 AS INTEGER), value ->> 14, value ->> 15, value ->> 16,
    value ->> 17, value ->> 18
  FROM json_each(CAST(NEW.lines AS TEXT));

  INSERT INTO writer_positions (writer_id, position) VALUES (NEW.writer_id, NEW.end_position)
  ON CONFLICT (writer_id) DO UPDATE SET position = excluded.position;

  DELETE FROM unfinished_batches;
END;
