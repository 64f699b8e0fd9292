-- Costs that are computed again.

-- What requests would cost by the table of prices, in nano-dollars; the same rule as in `write_batch`.
CREATE VIEW priced_requests (id, nano) AS
SELECT
  id,
  CASE WHEN attempts > 0 AND prompt_tokens + completion_tokens > 0 THEN (
    SELECT
      CAST(ROUND((
        MAX(
          prompt_tokens - COALESCE(cached_tokens, 0) - COALESCE(cache_write_tokens, 0)
          - COALESCE(prompt_audio_tokens, 0), 0
        ) * input
        + COALESCE(cached_tokens, 0) * COALESCE(cache_read, input)
        + MAX(COALESCE(cache_write_tokens, 0) - COALESCE(cache_write_1h_tokens, 0), 0) * COALESCE(cache_write, input)
        + COALESCE(cache_write_1h_tokens, 0) * COALESCE(cache_write_1h, cache_write, input)
        + COALESCE(prompt_audio_tokens, 0) * COALESCE(input_audio, input)
        + IIF(completion_tokens = 0, 0, MAX(completion_tokens - COALESCE(completion_audio_tokens, 0), 0) * output)
        + COALESCE(completion_audio_tokens, 0) * COALESCE(output_audio, output, 0)
      ) / 1e3) AS INTEGER) + IIF(attempt_trail IS NULL, 0, (
        SELECT COALESCE(SUM(CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
        FROM json_each(attempt_trail)
        WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
      ))
    FROM prices
    WHERE prices.provider_id = COALESCE(
        (SELECT priced.priced_provider FROM price_names AS priced
        WHERE priced.provider_id = logged.provider_id AND priced.model = logged.model), logged.provider_id
      ) AND prices.model = COALESCE(
        (SELECT priced.priced_model FROM price_names AS priced
        WHERE priced.provider_id = logged.provider_id AND priced.model = logged.model), logged.model
      )
      AND (prices.service_tier = '' OR prices.service_tier = logged.service_tier)
      AND prices.since <= logged.timestamp AND (above_tokens = 0 OR above_tokens < prompt_tokens)
    ORDER BY prices.service_tier DESC, priority DESC, prices.since DESC, above_tokens DESC LIMIT 1
  ) END
FROM request_logs AS logged;

-- A cost that changes, changes all sums of it in the same transaction.
CREATE TRIGGER change_cost AFTER UPDATE OF cost_usd ON request_logs
WHEN COALESCE(NEW.cost_nano, 0) <> COALESCE(OLD.cost_nano, 0)
BEGIN
  UPDATE usage_buckets SET cost_nano = cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0)
  WHERE start = CAST(NEW.timestamp AS INTEGER) / 900000 * 900000 AND chain_name = NEW.chain_name
    AND provider_id = NEW.provider_id AND model = NEW.model AND caller = COALESCE(NEW.caller, '')
    AND upper_ms = (
      SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND(NEW.latency_ms) ORDER BY upper_ms LIMIT 1
    );

  UPDATE usage_by_provider
  SET total_cost_nano = total_cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0)
  WHERE provider_id = NEW.provider_id;

  UPDATE usage_by_chain
  SET total_cost_nano = total_cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0)
  WHERE chain_name = NEW.chain_name;

  DELETE FROM rolled_up WHERE width = 900000 AND start = CAST(NEW.timestamp AS INTEGER) / 900000 * 900000;
  DELETE FROM rolled_up WHERE width = 3600000 AND start = CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000;
  DELETE FROM rolled_up WHERE width = 14400000 AND start = CAST(NEW.timestamp AS INTEGER) / 14400000 * 14400000;
  DELETE FROM rolled_up WHERE width = 43200000 AND start = CAST(NEW.timestamp AS INTEGER) / 43200000 * 43200000;
  DELETE FROM rolled_up WHERE width = 86400000 AND start = CAST(NEW.timestamp AS INTEGER) / 86400000 * 86400000;
END;
