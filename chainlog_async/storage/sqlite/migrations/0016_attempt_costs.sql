-- What every try cost: an attempt that has tokens and no cost gets that of the table of prices, with a mark.

-- As in 0012, with the costs of attempts. A request without a cost costs what its tokens cost, and what the attempts
-- before the last one cost that did not answer. Its tokens are those of the last attempt: where that did not answer
-- either, or has a cost that somebody gave, its own cost counts instead.
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
      CASE WHEN given IS NULL AND tries > 0 THEN (
        SELECT IIF(INSTR(trail, '"cost_usd"'), (
          SELECT
            CASE WHEN price IS NOT NULL OR is_priced THEN COALESCE(others, 0) + IIF(
              last_counts,
              COALESCE(last_cost, price, IIF(prompt + completion = 0 AND others IS NOT NULL, 0, NULL)),
              COALESCE(price, last_cost)
            ) END
          FROM (
            SELECT
              MAX(says IS 'table') AS is_priced,
              MAX(IIF(is_last, failed OR (cost IS NOT NULL AND says IS NOT 'table'), 0)) AS last_counts,
              MAX(IIF(is_last, cost, NULL)) AS last_cost,
              SUM(IIF(failed AND NOT is_last, cost, NULL)) AS others
            FROM (
              SELECT
                key = json_array_length(trail) - 1 AS is_last, value ->> 'cost_source' AS says,
                CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER) AS cost,
                COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL AS failed
              FROM json_each(trail) LIMIT -1
            )
          )
        ), price)
        FROM (
          SELECT CASE WHEN prompt + completion > 0 THEN (
            SELECT
              CAST(ROUND((
                MAX(prompt - COALESCE(cached, 0) - COALESCE(written, 0) - COALESCE(audio_in, 0), 0) * input
                + COALESCE(cached, 0) * COALESCE(cache_read, input)
                + MAX(COALESCE(written, 0) - COALESCE(written_1h, 0), 0) * COALESCE(cache_write, input)
                + COALESCE(written_1h, 0) * COALESCE(cache_write_1h, cache_write, input)
                + COALESCE(audio_in, 0) * COALESCE(input_audio, input)
                + IIF(completion = 0, 0, MAX(completion - COALESCE(audio_out, 0), 0) * output)
                + COALESCE(audio_out, 0) * COALESCE(output_audio, output, 0)
              ) / 1e3) AS INTEGER)
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
          ) END AS price
          LIMIT -1
        )
      ) END AS nano
    FROM (
      SELECT
        value ->> 0 AS logged_at, value ->> 1 AS chain, value ->> 2 AS provider, value ->> 3 AS name,
        value ->> 4 AS prompt, value ->> 5 AS completion, value ->> 6 AS total, value ->> 7 AS latency,
        value ->> 8 AS status, value ->> 9 AS tries, value ->> 10 AS message, value ->> 11 AS request,
        value ->> 12 AS who, value ->> 13 AS ttft, value ->> 14 AS given, value ->> 15 AS streams,
        value ->> 16 AS cached, value ->> 17 AS facts,
        longer ->> 19 AS written, longer ->> 20 AS written_1h, longer ->> 21 AS reasoning,
        longer ->> 22 AS audio_in, longer ->> 23 AS audio_out, longer ->> 24 AS reason, longer ->> 25 AS tier,
        longer ->> 26 AS response, longer ->> 27 AS conversation, longer ->> 28 AS labels, longer ->> 29 AS source,
        IIF(INSTR(told, '_tokens"'), (
          SELECT
            json_group_array(json(IIF(cost IS NULL, value, json_set(
              value, '$.cost_usd', MIN(cost, 10000000000000) / 1e9, '$.cost_source', 'table'
            ))))
          FROM (
            SELECT
              value,
              CASE WHEN value ->> 'cost_usd' IS NULL AND prompt + completion > 0 THEN (
                SELECT
                  CAST(ROUND((
                    MAX(prompt - COALESCE(cached, 0) - COALESCE(written, 0) - COALESCE(audio_in, 0), 0) * input
                    + COALESCE(cached, 0) * COALESCE(cache_read, input)
                    + MAX(COALESCE(written, 0) - COALESCE(written_1h, 0), 0) * COALESCE(cache_write, input)
                    + COALESCE(written_1h, 0) * COALESCE(cache_write_1h, cache_write, input)
                    + COALESCE(audio_in, 0) * COALESCE(input_audio, input)
                    + IIF(completion = 0, 0, MAX(completion - COALESCE(audio_out, 0), 0) * output)
                    + COALESCE(audio_out, 0) * COALESCE(output_audio, output, 0)
                  ) / 1e3) AS INTEGER)
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
              ) END AS cost
            FROM (
              SELECT
                value, value ->> 'provider_id' AS provider, value ->> 'model' AS name,
                COALESCE(value ->> 'prompt_tokens', 0) AS prompt,
                COALESCE(value ->> 'completion_tokens', 0) AS completion, value ->> 'cached_tokens' AS cached,
                value ->> 'cache_write_tokens' AS written, value ->> 'cache_write_1h_tokens' AS written_1h,
                value ->> 'prompt_audio_tokens' AS audio_in, value ->> 'completion_audio_tokens' AS audio_out,
                line.value ->> 0 AS logged_at, line.longer ->> 25 AS tier
              FROM json_each(told) LIMIT -1
            )
            LIMIT -1
          )
        ), told) AS trail
      FROM (
        SELECT value, IIF(json_array_length(value) > 19, value, NULL) AS longer, value ->> 18 AS told
        FROM json_each(CAST(NEW.lines AS TEXT)) LIMIT -1
      ) AS line
      LIMIT -1
    )
    LIMIT -1
  )
  LIMIT -1;

  INSERT INTO writer_positions (writer_id, position) VALUES (NEW.writer_id, NEW.end_position)
  ON CONFLICT (writer_id) DO UPDATE SET position = excluded.position;

  DELETE FROM unfinished_batches;
END;

-- `chainlog reprice` computes the costs of attempts with those of their requests, which a view cannot do in one look.
DROP VIEW priced_requests;

-- As in 0013 and 0015: a cost of an attempt that changes, changes what was spent on tries that did not answer. Another
-- program may have written a trail that is no JSON.
DROP TRIGGER change_cost;

CREATE TRIGGER change_cost AFTER UPDATE OF cost_usd, attempt_trail ON request_logs
WHEN COALESCE(NEW.cost_nano, 0) <> COALESCE(OLD.cost_nano, 0) OR NEW.attempt_trail IS NOT OLD.attempt_trail
BEGIN
  UPDATE usage_buckets SET
    cost_nano = cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0),
    unanswered_cost_nano = unanswered_cost_nano + CASE WHEN NEW.attempt_trail IS OLD.attempt_trail THEN 0 ELSE (
      SELECT COALESCE(SUM(sign * CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
      FROM (
        SELECT 1 AS sign, value FROM json_each(IIF(json_valid(NEW.attempt_trail), NEW.attempt_trail, NULL))
        UNION ALL
        SELECT -1, value FROM json_each(IIF(json_valid(OLD.attempt_trail), OLD.attempt_trail, NULL))
      )
      WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
    ) END
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

DROP TRIGGER change_cost_of_tags;

CREATE TRIGGER change_cost_of_tags AFTER UPDATE OF cost_usd, attempt_trail ON request_logs
WHEN NEW.tags IS NOT NULL AND (
  COALESCE(NEW.cost_nano, 0) <> COALESCE(OLD.cost_nano, 0) OR NEW.attempt_trail IS NOT OLD.attempt_trail
)
BEGIN
  UPDATE tag_buckets SET
    cost_nano = cost_nano + COALESCE(NEW.cost_nano, 0) - COALESCE(OLD.cost_nano, 0),
    unanswered_cost_nano = unanswered_cost_nano + CASE WHEN NEW.attempt_trail IS OLD.attempt_trail THEN 0 ELSE (
      SELECT COALESCE(SUM(sign * CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
      FROM (
        SELECT 1 AS sign, value FROM json_each(IIF(json_valid(NEW.attempt_trail), NEW.attempt_trail, NULL))
        UNION ALL
        SELECT -1, value FROM json_each(IIF(json_valid(OLD.attempt_trail), OLD.attempt_trail, NULL))
      )
      WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
    ) END
  WHERE start = CAST(NEW.timestamp AS INTEGER) / 3600000 * 3600000
    AND (tag_key, tag_value) IN (SELECT tag_key, tag_value FROM counted_tags WHERE id = NEW.id)
    AND chain_name = NEW.chain_name AND provider_id = NEW.provider_id AND model = NEW.model
    AND caller = COALESCE(NEW.caller, '');
END;
