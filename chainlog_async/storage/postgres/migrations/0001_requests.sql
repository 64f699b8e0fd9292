-- Requests, how far each writer's stream is committed, and a ledger of the batches that are not in the totals yet.

-- Fixed-width columns first, so that no byte is lost to alignment. One partition a day (UTC), made ahead by
-- `make_partitions` and dropped by `drop_day`; what belongs to no such day is in `request_logs_rest`.
CREATE TABLE request_logs (
  id bigint NOT NULL,
  timestamp bigint NOT NULL,
  prompt_tokens bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  total_tokens bigint NOT NULL,
  latency_ms bigint NOT NULL,
  attempts bigint NOT NULL,
  ttft_ms bigint,
  cached_tokens bigint,
  cache_write_tokens bigint,
  cache_write_1h_tokens bigint,
  reasoning_tokens bigint,
  prompt_audio_tokens bigint,
  completion_audio_tokens bigint,
  cost_usd double precision,
  http_status smallint NOT NULL,
  -- 'a' answered, 'f' failed, 'c' cancelled.
  outcome "char" NOT NULL,
  streamed boolean,
  chain_name text NOT NULL,
  provider_id text NOT NULL,
  model text NOT NULL,
  caller text,
  request_id text,
  error_message text,
  metadata text,
  attempt_trail text,
  finish_reason text,
  service_tier text,
  response_id text,
  session_id text,
  tags text,
  -- 'provider', 'gateway', or 'table' for what was computed from the table of prices.
  cost_source text,
  PRIMARY KEY (timestamp, id)
) PARTITION BY RANGE (timestamp);

CREATE TABLE request_logs_rest PARTITION OF request_logs DEFAULT;

CREATE INDEX logs_id ON request_logs (id);
CREATE INDEX logs_errors ON request_logs (timestamp, id) WHERE outcome <> 'a';
CREATE INDEX logs_request_id ON request_logs (request_id text_pattern_ops, timestamp) WHERE request_id IS NOT NULL;

-- The newest id that was given out; `write_batch` takes as many as a batch has rows.
CREATE SEQUENCE request_ids MINVALUE 0 START 0;

-- A position that was forgotten stays for a day: a batch that was on its way when its writer gave up comes to nothing.
CREATE TABLE streams (
  writer_id text PRIMARY KEY,
  position bigint NOT NULL,
  forgotten_at timestamptz
) WITH (fillfactor = 50);

-- A row for each batch that is not in the totals yet, see `fold`: which ids and times (ms) its rows have.
CREATE TABLE batches (
  first_id bigint PRIMARY KEY,
  last_id bigint NOT NULL,
  first_ms bigint NOT NULL,
  last_ms bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE rejected_entries (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rejected_at bigint NOT NULL,
  error text NOT NULL,
  entry text NOT NULL
);

-- As `outcome_of` in Python.
CREATE FUNCTION outcome_of(http_status bigint, error_message text, last_attempt jsonb) RETURNS "char"
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN http_status = 499 THEN 'c'
  WHEN http_status >= 400 THEN 'f'
  WHEN error_message IS NOT NULL AND last_attempt IS NOT NULL AND (
    COALESCE((last_attempt ->> 'http_status')::bigint, 599) >= 400 OR last_attempt ->> 'error_message' IS NOT NULL
  ) THEN 'f'
  ELSE 'a'
END::"char";

-- Billionths of a US dollar: the only rounding of a cost, so that sums do not depend on their order.
CREATE FUNCTION nanos(cost_usd double precision) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN floor(least(COALESCE(cost_usd, 0) * 1e9, 1e18) + 0.5)::bigint;

-- What attempts cost that did not answer.
CREATE FUNCTION unanswered_nano(attempt_trail text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN attempt_trail IS NULL THEN 0 ELSE (
  SELECT COALESCE(sum(nanos((value ->> 'cost_usd')::float8)), 0)::bigint
  FROM jsonb_array_elements(attempt_trail::jsonb) AS trail (value)
  WHERE COALESCE((value ->> 'http_status')::integer, 599) >= 400 OR value ->> 'error_message' IS NOT NULL
) END;

-- What models cost: see migrations/0012 of SQLite.
CREATE TABLE prices (
  provider_id text NOT NULL,
  model text NOT NULL,
  service_tier text NOT NULL,
  priority bigint NOT NULL,
  since bigint NOT NULL,
  above_tokens bigint NOT NULL,
  source text NOT NULL,
  input bigint NOT NULL,
  output bigint,
  cache_read bigint,
  cache_write bigint,
  cache_write_1h bigint,
  input_audio bigint,
  output_audio bigint,
  PRIMARY KEY (provider_id, model, service_tier, priority, since, above_tokens)
);

CREATE TABLE price_names (
  provider_id text NOT NULL,
  model text NOT NULL,
  priced_provider text NOT NULL,
  priced_model text NOT NULL,
  PRIMARY KEY (provider_id, model)
);

-- What a line costs by the table of prices, in billionths of a US dollar; NULL where there is no price.
CREATE FUNCTION price_nano(v jsonb) RETURNS bigint
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT floor((
      greatest(prompt - cached - written - audio_in, 0) * input
      + cached * COALESCE(cache_read, input)
      + greatest(written - written_1h, 0) * COALESCE(cache_write, input)
      + written_1h * COALESCE(cache_write_1h, cache_write, input)
      + audio_in * COALESCE(input_audio, input)
      + CASE WHEN completion = 0 THEN 0 ELSE greatest(completion - audio_out, 0) * output END
      + audio_out * COALESCE(output_audio, output, 0)
    ) / 1e3 + 0.5)::bigint + unanswered_nano(v ->> 18)
  FROM (
    SELECT
      v ->> 2 AS provider, v ->> 3 AS name, COALESCE(v ->> 25, '') AS tier, (v ->> 0)::bigint AS logged_at,
      (v ->> 4)::numeric AS prompt, (v ->> 5)::numeric AS completion, COALESCE((v ->> 16)::numeric, 0) AS cached,
      COALESCE((v ->> 19)::numeric, 0) AS written, COALESCE((v ->> 20)::numeric, 0) AS written_1h,
      COALESCE((v ->> 22)::numeric, 0) AS audio_in, COALESCE((v ->> 23)::numeric, 0) AS audio_out
  ) AS line
  LEFT JOIN price_names AS priced ON priced.provider_id = provider AND priced.model = name
  JOIN prices ON prices.provider_id = COALESCE(priced_provider, provider)
    AND prices.model = COALESCE(priced_model, name)
    AND prices.service_tier IN ('', tier) AND prices.since <= logged_at
    AND (above_tokens = 0 OR above_tokens < prompt)
  ORDER BY prices.service_tier DESC, priority DESC, since DESC, above_tokens DESC LIMIT 1;
END;

-- Lines as the journal has them, a JSON array each, as rows: the one place that knows which value is which column. A
-- line of an older release, left in a journal, has fewer values: they are NULL.
CREATE FUNCTION rows_of(lines jsonb, first_id bigint) RETURNS SETOF request_logs
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT
    first_id + place - 1,
    (v ->> 0)::bigint,
    (v ->> 4)::bigint,
    (v ->> 5)::bigint,
    COALESCE((v ->> 6)::bigint, (v ->> 4)::bigint + (v ->> 5)::bigint),
    floor((v ->> 7)::float8 + 0.5)::bigint,
    (v ->> 9)::bigint,
    floor((v ->> 13)::float8 + 0.5)::bigint,
    (v ->> 16)::bigint,
    (v ->> 19)::bigint,
    (v ->> 20)::bigint,
    (v ->> 21)::bigint,
    (v ->> 22)::bigint,
    (v ->> 23)::bigint,
    COALESCE((v ->> 14)::float8, nano / 1e9::float8),
    (v ->> 8)::smallint,
    outcome_of((v ->> 8)::bigint, v ->> 10, v #> '{18,-1}'),
    (v ->> 15)::boolean,
    v ->> 1,
    v ->> 2,
    v ->> 3,
    v ->> 12,
    v ->> 11,
    v ->> 10,
    v ->> 17,
    v ->> 18,
    v ->> 24,
    v ->> 25,
    v ->> 26,
    v ->> 27,
    v ->> 28,
    CASE WHEN v ->> 14 IS NOT NULL THEN COALESCE(v ->> 29, 'gateway') WHEN nano IS NOT NULL THEN 'table' END
  FROM jsonb_array_elements(lines) WITH ORDINALITY AS line (v, place)
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN v ->> 14 IS NULL AND (v ->> 9)::bigint > 0 AND (v ->> 4)::bigint + (v ->> 5)::bigint > 0 THEN price_nano(v)
    END AS nano
    OFFSET 0
  ) AS priced;
END;

-- Prices that are not known yet, as JSON arrays in the order of the columns; and names, likewise.
CREATE FUNCTION add_prices(new_prices jsonb, new_names jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  INSERT INTO prices
  SELECT
    v ->> 0, v ->> 1, v ->> 2, (v ->> 3)::bigint, (v ->> 4)::bigint, (v ->> 5)::bigint, v ->> 6, (v ->> 7)::bigint,
    (v ->> 8)::bigint, (v ->> 9)::bigint, (v ->> 10)::bigint, (v ->> 11)::bigint, (v ->> 12)::bigint,
    (v ->> 13)::bigint
  FROM jsonb_array_elements(new_prices) AS price (v)
  ORDER BY 1, 2, 3, 4, 5, 6
  ON CONFLICT DO NOTHING;
  INSERT INTO price_names SELECT v ->> 0, v ->> 1, v ->> 2, v ->> 3 FROM jsonb_array_elements(new_names) AS name (v)
  ORDER BY 1, 2
  ON CONFLICT (provider_id, model) DO UPDATE SET
    priced_provider = excluded.priced_provider, priced_model = excluded.priced_model
    WHERE (price_names.priced_provider, price_names.priced_model)
      IS DISTINCT FROM (excluded.priced_provider, excluded.priced_model);
$$;

-- Locks of this schema, told from those of others by what they are named after. An advisory lock has two integers.
CREATE FUNCTION lock_class(of regclass) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (of::oid::bigint & 2147483647)::integer;

-- Gives out ids of a run of rows. Ids are given out in their order, but batches are committed in any: whoever follows
-- the log must not pass an id whose batch is still under way. So each batch first locks, shared and until it ends, the
-- newest id before its own; see `settled_id`.
CREATE FUNCTION take_ids(how_many bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  newest bigint;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(lock_class('request_ids'), (last_value & 2147483647)::integer) FROM request_ids;
  BEGIN
    -- Two must not add to the same value. The exception lets go of the lock at once, and a sequence is not rolled back.
    PERFORM pg_advisory_xact_lock(lock_class('request_logs'), 0);
    newest := setval('request_ids', (SELECT last_value FROM request_ids) + how_many);
    RAISE SQLSTATE 'CL000';
  EXCEPTION WHEN SQLSTATE 'CL000' THEN
    RETURN newest - how_many + 1;
  END;
END $$;

-- Up to which id every batch has ended, so that the next statement sees all rows there will ever be up to it. Whoever
-- took an id up to `newest` locked a smaller one before; if no such lock is held now, its batch is committed or gone.
-- Locks are let go after a commit is visible. A standby has no locks, but what was true here some moments ago.
CREATE TABLE settled (one boolean PRIMARY KEY DEFAULT TRUE CHECK (one), id bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO settled (id) VALUES (0);

CREATE FUNCTION settled_id() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  newest bigint;
  before bigint;
BEGIN
  IF pg_is_in_recovery() THEN
    RETURN (SELECT id FROM settled);
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    -- The next statement would not see more than this one.
    RAISE EXCEPTION 'settled_id() needs a transaction of its own at "read committed"' USING ERRCODE = 'CL002';
  END IF;
  SELECT last_value INTO newest FROM request_ids;
  -- A lock on a later id, taken since, would seem to be nearly 2^31 before `newest`.
  SELECT min(newest - behind) INTO before FROM (
    SELECT (newest - objid::bigint) & 2147483647 AS behind FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND classid::bigint = lock_class('request_ids')
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  ) AS running WHERE behind < 1073741824;
  RETURN COALESCE(before, newest);
END $$;

-- One batch, whole or not at all, once: if the stream is committed up to `known`, as its writer believes. The stream's row
-- makes a twin that is still under way (a connection that broke, a second try) wait, and then sees what became of it.
-- Returns how far the stream was committed before: where that is not `known`, nothing was stored.
CREATE FUNCTION write_batch(writer text, known bigint, to_position bigint, lines jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  found_position bigint;
  first bigint;
BEGIN
  UPDATE streams SET position = to_position
  WHERE writer_id = writer AND position = known AND forgotten_at IS NULL;
  IF NOT FOUND THEN
    INSERT INTO streams (writer_id, position) SELECT writer, to_position WHERE known = 0
    ON CONFLICT (writer_id) DO NOTHING;
    IF NOT FOUND THEN
      SELECT position INTO found_position FROM streams WHERE writer_id = writer;
      IF found_position = known THEN
        RAISE EXCEPTION 'the stream % has ended', writer USING ERRCODE = 'CL001';
      END IF;
      RETURN COALESCE(found_position, 0);
    END IF;
  END IF;
  IF lines = '[]' THEN
    RETURN known;
  END IF;
  first := take_ids(jsonb_array_length(lines));
  WITH stored AS (INSERT INTO request_logs SELECT * FROM rows_of(lines, first) RETURNING id, timestamp)
  INSERT INTO batches (first_id, last_id, first_ms, last_ms)
  SELECT min(id), max(id), min(timestamp), max(timestamp) FROM stored;
  RETURN known;
END $$;

-- Keeps a line apart that the database does not take; otherwise as `write_batch`.
CREATE FUNCTION reject_line(
  writer text, known bigint, to_position bigint, at bigint, why text, line text
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  found_position bigint := write_batch(writer, known, to_position, '[]');
BEGIN
  IF found_position = known THEN
    INSERT INTO rejected_entries (rejected_at, error, entry) VALUES (at, why, line);
  END IF;
  RETURN found_position;
END $$;

-- How far a stream is committed. Waits for a batch of it that is still under way, and so knows what became of it.
CREATE FUNCTION stream_position(writer text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  known bigint;
BEGIN
  INSERT INTO streams AS s (writer_id, position) VALUES (writer, 0)
  ON CONFLICT (writer_id) DO UPDATE SET position = s.position
  RETURNING CASE WHEN forgotten_at IS NULL THEN position ELSE 0 END INTO known;
  RETURN known;
END $$;

CREATE FUNCTION forget_stream(writer text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  UPDATE streams SET forgotten_at = now() WHERE writer_id = writer;
  DELETE FROM streams WHERE forgotten_at < now() - interval '1 day';
$$;
