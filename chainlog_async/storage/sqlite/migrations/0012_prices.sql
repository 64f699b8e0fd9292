-- What models cost, so that a request without a cost of its own gets one in the statement of its batch.

-- Whose cost it is: 'provider', 'gateway' or 'table', of this table of prices. NULL in rows of earlier releases, whose
-- costs are the gateway's, and where there is no cost.
ALTER TABLE request_logs ADD COLUMN cost_source TEXT;

-- Rates are whole pico-dollars per token. The key is in the order in which a price is chosen: that of the tier before
-- that of all tiers, then by priority of the source, then the latest, then that for the longest prompts.
CREATE TABLE prices (
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  service_tier TEXT NOT NULL,
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,
  above_tokens INTEGER NOT NULL,
  source TEXT NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER,
  cache_read INTEGER,
  cache_write INTEGER,
  cache_write_1h INTEGER,
  input_audio INTEGER,
  output_audio INTEGER,
  PRIMARY KEY (provider_id, model, service_tier DESC, priority DESC, since DESC, above_tokens DESC)
) WITHOUT ROWID;

-- Under which names the price of a model is kept, where they are not those that are logged.
CREATE TABLE price_names (
  provider_id TEXT NOT NULL,
  model TEXT NOT NULL,
  priced_provider TEXT NOT NULL,
  priced_model TEXT NOT NULL,
  PRIMARY KEY (provider_id, model)
) WITHOUT ROWID;

-- As in 0011, with the cost. Each SELECT has its LIMIT, so that nothing is computed twice.
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
    request_id, caller, ttft_ms, streamed, cached_tokens, metadata, attempt_trail,
    cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens,
    finish_reason, service_tier, response_id, session_id, tags, cost_usd, cost_source
  )
  SELECT
    logged_at, chain, provider, name, prompt, completion, COALESCE(total, prompt + completion),
    CAST(latency + 0.5 AS INTEGER), status, tries, message,
    request, who, CAST(ttft + 0.5 AS INTEGER), streams, cached, facts, trail,
    written, written_1h, reasoning, audio_in, audio_out, reason, tier, response, conversation, labels,
    COALESCE(given, nano / 1e9),
    CASE WHEN given IS NOT NULL THEN COALESCE(source, 'gateway') WHEN nano IS NOT NULL THEN 'table' END
  FROM (
    SELECT
      *,
      CASE WHEN given IS NULL AND tries > 0 AND prompt + completion > 0 THEN (
        SELECT
          CAST(ROUND((
            MAX(prompt - COALESCE(cached, 0) - COALESCE(written, 0) - COALESCE(audio_in, 0), 0) * input
            + COALESCE(cached, 0) * COALESCE(cache_read, input)
            + MAX(COALESCE(written, 0) - COALESCE(written_1h, 0), 0) * COALESCE(cache_write, input)
            + COALESCE(written_1h, 0) * COALESCE(cache_write_1h, cache_write, input)
            + COALESCE(audio_in, 0) * COALESCE(input_audio, input)
            + IIF(completion = 0, 0, MAX(completion - COALESCE(audio_out, 0), 0) * output)
            + COALESCE(audio_out, 0) * COALESCE(output_audio, output, 0)
          ) / 1e3) AS INTEGER) + IIF(trail IS NULL, 0, (
            SELECT COALESCE(SUM(CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
            FROM json_each(trail)
            WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
          ))
        FROM prices
        WHERE prices.provider_id = COALESCE(
            (SELECT priced.priced_provider FROM price_names AS priced
            WHERE priced.provider_id = provider AND priced.model = name), provider
          ) AND prices.model = COALESCE(
            (SELECT priced.priced_model FROM price_names AS priced
            WHERE priced.provider_id = provider AND priced.model = name), name
          )
          AND (prices.service_tier = '' OR prices.service_tier = tier)
          AND prices.since <= logged_at AND (above_tokens = 0 OR above_tokens < prompt)
        ORDER BY prices.service_tier DESC, priority DESC, since DESC, above_tokens DESC LIMIT 1
      ) END AS nano
    FROM (
      SELECT
        value ->> 0 AS logged_at, value ->> 1 AS chain, value ->> 2 AS provider, value ->> 3 AS name,
        value ->> 4 AS prompt, value ->> 5 AS completion, value ->> 6 AS total, value ->> 7 AS latency,
        value ->> 8 AS status, value ->> 9 AS tries, value ->> 10 AS message, value ->> 11 AS request,
        value ->> 12 AS who, value ->> 13 AS ttft, value ->> 14 AS given, value ->> 15 AS streams,
        value ->> 16 AS cached, value ->> 17 AS facts, value ->> 18 AS trail,
        longer ->> 19 AS written, longer ->> 20 AS written_1h, longer ->> 21 AS reasoning,
        longer ->> 22 AS audio_in, longer ->> 23 AS audio_out, longer ->> 24 AS reason, longer ->> 25 AS tier,
        longer ->> 26 AS response, longer ->> 27 AS conversation, longer ->> 28 AS labels, longer ->> 29 AS source
      FROM (
        SELECT value, IIF(json_array_length(value) > 19, value, NULL) AS longer
        FROM json_each(CAST(NEW.lines AS TEXT)) LIMIT -1
      )
      LIMIT -1
    )
    LIMIT -1
  )
  LIMIT -1;

  INSERT INTO writer_positions (writer_id, position) VALUES (NEW.writer_id, NEW.end_position)
  ON CONFLICT (writer_id) DO UPDATE SET position = excluded.position;

  DELETE FROM unfinished_batches;
END;
