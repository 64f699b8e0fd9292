-- Whoever may use the schema may not do by a function what it may not do itself: these act with the owner's rights.
REVOKE EXECUTE ON FUNCTION
  write_batch, reject_line, add_prices, stream_position, forget_stream, fold, roll_up, make_partitions, drop_day,
  count_dropped, purge_rest
FROM PUBLIC;

-- For the owner: what a role needs to read the log, and what it needs to write it, which is no right to change a table.
-- To be called again after a migration.
CREATE FUNCTION grant_reader(role name) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
  EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', current_schema(), role);
END $$;

CREATE FUNCTION grant_writer(role name) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM grant_reader(role);
  EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %I TO %I', current_schema(), role);
END $$;
