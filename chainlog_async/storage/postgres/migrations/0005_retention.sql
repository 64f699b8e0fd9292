-- Retention: a day of rows is dropped as a whole. Totals are kept; these tables keep apart what was deleted, so that
-- totals can be checked against the rows that are left.

CREATE TABLE pruned_by_provider (LIKE usage_by_provider, PRIMARY KEY (provider_id));

CREATE TABLE pruned_by_chain (LIKE usage_by_chain, PRIMARY KEY (chain_name));

CREATE TABLE pruned_summary (LIKE usage_summary INCLUDING DEFAULTS, PRIMARY KEY (one));
INSERT INTO pruned_summary (total_requests, waterfall_requests, total_latency_ms) VALUES (0, 0, 0);

-- Days that are in the log no more, and in no table `pruned_…` yet.
CREATE TABLE dropped_days (partition text PRIMARY KEY, day bigint NOT NULL);

CREATE FUNCTION partition_of(day bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'request_logs_' || to_char(timestamp '1970-01-01' + day / 86400000 * interval '1 day', 'YYYYMMDD');

-- Not by `to_regclass`, which may not know yet what another transaction made while this one waited for a lock.
CREATE FUNCTION has_partition(day bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT EXISTS (
    SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = partition_of(day)
  );
$$;

-- Makes the partitions of the days from `first` to before `until` (ms, UTC) that there are none of. Attaching one keeps
-- nobody from writing to another; what is in `request_logs_rest` of that day already moves. Returns how many were made.
CREATE FUNCTION make_partitions(first bigint, until bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
DECLARE
  days CONSTANT bigint[] := ARRAY(SELECT generate_series(first / 86400000 * 86400000, until - 1, 86400000));
  next bigint;
  made integer := 0;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM unnest(days) AS day WHERE NOT has_partition(day)) THEN
    RETURN 0;
  END IF;
  PERFORM pg_advisory_xact_lock(lock_class('dropped_days'), 0);
  FOR next IN SELECT day FROM unnest(days) AS day WHERE NOT has_partition(day) LOOP
    IF made = 0 THEN
      LOCK TABLE request_logs_rest IN ACCESS EXCLUSIVE MODE;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE request_logs)', partition_of(next));
    EXECUTE format(
      'WITH moved AS (DELETE FROM request_logs_rest WHERE timestamp >= %s AND timestamp < %s RETURNING *) '
      'INSERT INTO %I SELECT * FROM moved', next, next + 86400000, partition_of(next));
    EXECUTE format(
      'ALTER TABLE request_logs ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
      partition_of(next), next, next + 86400000);
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

-- Takes one day out of the log, if there is a partition of it. Nobody can write meanwhile, so it does little: what is
-- not folded yet, and `count_dropped` does the rest. Returns FALSE when another process folds.
CREATE FUNCTION drop_day(day bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
DECLARE
  name text := partition_of(day);
BEGIN
  IF NOT pg_try_advisory_xact_lock(lock_class('batches'), 0) THEN
    RETURN FALSE;
  END IF;
  PERFORM fold(1000);
  PERFORM pg_advisory_xact_lock(lock_class('dropped_days'), 0);
  IF has_partition(day) THEN
    LOCK TABLE request_logs IN ACCESS EXCLUSIVE MODE;
    WHILE EXISTS (SELECT 1 FROM batches WHERE first_ms < day + 86400000 AND last_ms >= day) LOOP
      PERFORM fold(1000);
    END LOOP;
    EXECUTE format('ALTER TABLE request_logs DETACH PARTITION %I', name);
    INSERT INTO dropped_days (partition, day) VALUES (name, day);
  END IF;
  DELETE FROM log_days AS d WHERE d.day = drop_day.day
    AND NOT EXISTS (SELECT 1 FROM request_logs_rest WHERE timestamp >= d.day AND timestamp < d.day + 86400000);
  RETURN TRUE;
END $$;

-- Adds a table of rows to what was pruned.
CREATE FUNCTION add_to_pruned(rows_table text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  EXECUTE format($sql$
    INSERT INTO pruned_by_provider AS t
    SELECT provider_id, count(*), sum(total_tokens), sum(prompt_tokens), sum(completion_tokens), max(timestamp),
    sum(nanos(cost_usd))
    FROM %I GROUP BY 1
    ON CONFLICT (provider_id) DO UPDATE SET
      total_requests = t.total_requests + excluded.total_requests,
      total_tokens = t.total_tokens + excluded.total_tokens,
      total_prompt_tokens = t.total_prompt_tokens + excluded.total_prompt_tokens,
      total_completion_tokens = t.total_completion_tokens + excluded.total_completion_tokens,
      last_request_timestamp = greatest(t.last_request_timestamp, excluded.last_request_timestamp),
      total_cost_nano = t.total_cost_nano + excluded.total_cost_nano
  $sql$, rows_table);
  EXECUTE format($sql$
    INSERT INTO pruned_by_chain AS t
    SELECT chain_name, count(*), sum(total_tokens), sum(prompt_tokens), sum(completion_tokens), max(timestamp),
    sum(nanos(cost_usd))
    FROM %I GROUP BY 1
    ON CONFLICT (chain_name) DO UPDATE SET
      total_requests = t.total_requests + excluded.total_requests,
      total_tokens = t.total_tokens + excluded.total_tokens,
      total_prompt_tokens = t.total_prompt_tokens + excluded.total_prompt_tokens,
      total_completion_tokens = t.total_completion_tokens + excluded.total_completion_tokens,
      last_request_timestamp = greatest(t.last_request_timestamp, excluded.last_request_timestamp),
      total_cost_nano = t.total_cost_nano + excluded.total_cost_nano
  $sql$, rows_table);
  EXECUTE format($sql$
    UPDATE pruned_summary AS t SET
      total_requests = t.total_requests + new.requests,
      waterfall_requests = t.waterfall_requests + new.waterfalls,
      total_latency_ms = t.total_latency_ms + new.latency_ms
    FROM (
      SELECT count(*) AS requests, count(*) FILTER (WHERE attempts > 1) AS waterfalls,
        COALESCE(sum(latency_ms), 0) AS latency_ms
      FROM %I
    ) AS new
  $sql$, rows_table);
END $$;

-- Adds one dropped day to what was pruned, and deletes its rows for good. Returns FALSE when there is none.
CREATE FUNCTION count_dropped() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  name text;
BEGIN
  DELETE FROM dropped_days WHERE partition = (SELECT min(partition) FROM dropped_days) RETURNING partition INTO name;
  IF NOT FOUND THEN
    RETURN FALSE;
  END IF;
  PERFORM add_to_pruned(name);
  EXECUTE format('DROP TABLE %I', name);
  RETURN TRUE;
END $$;

-- Deletes up to `most` of the rows before `before` (ms, UTC) that are in no partition of a day. Returns how many; NULL
-- when another process folds.
CREATE FUNCTION purge_rest(before bigint, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  deleted integer;
BEGIN
  IF NOT pg_try_advisory_xact_lock(lock_class('batches'), 0) THEN
    RETURN NULL;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM request_logs_rest WHERE timestamp < before) THEN
    RETURN 0;
  END IF;
  CREATE TEMP TABLE IF NOT EXISTS chainlog_purged (LIKE request_logs) ON COMMIT DROP;
  WITH gone AS (
    DELETE FROM request_logs_rest WHERE ctid = ANY (ARRAY(
      SELECT r.ctid FROM request_logs_rest AS r
      WHERE timestamp < before
        AND NOT EXISTS (SELECT 1 FROM batches AS b WHERE r.id BETWEEN b.first_id AND b.last_id)
      ORDER BY timestamp LIMIT most
    )) RETURNING *
  )
  INSERT INTO chainlog_purged SELECT * FROM gone;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  PERFORM add_to_pruned('chainlog_purged');
  UPDATE log_days AS d SET rows = d.rows - gone.rows
  FROM (SELECT timestamp / 86400000 * 86400000 AS day, count(*) AS rows FROM chainlog_purged GROUP BY 1) AS gone
  WHERE d.day = gone.day;
  DELETE FROM log_days WHERE rows <= 0;
  DROP TABLE chainlog_purged;
  RETURN deleted;
END $$;
