-- Reads of a part of the log, and what the commands `check`, `prune`, `rejected`, `prices` and `reprice` need.

-- The views of what is not folded yet (migrations/0003) join batches with requests, and so are planned over every
-- partition. Here they are functions of the times between which such rows are: a planner that knows these plans for the
-- partitions of these days, and for none if there are no such rows. A migration that changes a view makes its function
-- anew by `make_function_of`.
CREATE FUNCTION unfolded_rows_between(first_ms bigint, last_ms bigint) RETURNS SETOF request_logs
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT r.* FROM batches AS b CROSS JOIN LATERAL (
    SELECT * FROM request_logs AS r
    WHERE r.id BETWEEN b.first_id AND b.last_id AND r.timestamp BETWEEN b.first_ms AND b.last_ms
      AND r.timestamp BETWEEN $1 AND $2
  ) AS r;
END;

-- The rows between two times (ms, UTC), folded or not; the second is not included.
CREATE FUNCTION rows_between(since bigint, until bigint) RETURNS SETOF request_logs
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT * FROM request_logs WHERE timestamp >= since AND timestamp < until;
END;

-- A function with the columns of a view, in which another function takes the place of `unfolded_rows`.
CREATE FUNCTION make_function_of(name text, of_view regclass, source text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  EXECUTE format(
    'CREATE FUNCTION %I(bigint, bigint) RETURNS SETOF %s LANGUAGE sql STABLE BEGIN ATOMIC %s END',
    name, of_view,
    regexp_replace(
      pg_get_viewdef(of_view), 'FROM unfolded_rows\M', format('FROM %I($1, $2) AS unfolded_rows', source), 'g'
    )
  );
END $$;

SELECT make_function_of('unfolded_usage_between', 'unfolded_usage', 'unfolded_rows_between');
SELECT make_function_of('unfolded_attempts_between', 'unfolded_attempts', 'unfolded_rows_between');
SELECT make_function_of('provider_totals_between', 'provider_totals', 'unfolded_rows_between');
SELECT make_function_of('chain_totals_between', 'chain_totals', 'unfolded_rows_between');
SELECT make_function_of('summary_totals_between', 'summary_totals', 'unfolded_rows_between');

-- Usage and attempts, counted from the rows alone.
SELECT make_function_of('counted_usage', 'unfolded_usage', 'rows_between');
SELECT make_function_of('counted_attempts', 'unfolded_attempts', 'rows_between');
