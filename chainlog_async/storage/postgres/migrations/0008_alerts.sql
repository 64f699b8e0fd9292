-- The state of alerts, as in SQLite's 0014. What changes it are functions, because a role that writes the log has no
-- right to change a table. Times are those of the server.
CREATE TABLE alert_leases (
  name text PRIMARY KEY,
  owner text NOT NULL,
  until bigint NOT NULL
);

CREATE TABLE alert_episodes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  alert text NOT NULL,
  group_name text NOT NULL,
  rule text NOT NULL,
  value text NOT NULL,
  fired_at bigint NOT NULL,
  cleared_at bigint
);

CREATE UNIQUE INDEX open_alert_episodes ON alert_episodes (alert, group_name) WHERE cleared_at IS NULL;

-- `due_at` is NULL once the target has it, or will not get it any more.
CREATE TABLE alert_messages (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  episode_id bigint NOT NULL,
  event text NOT NULL,
  target text NOT NULL,
  tries integer NOT NULL DEFAULT 0,
  due_at bigint,
  delivered_at bigint,
  error text
);

CREATE INDEX due_alert_messages ON alert_messages (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX alert_messages_by_episode ON alert_messages (episode_id);

CREATE TABLE dropped_entries (
  dropped_at bigint NOT NULL,
  entries bigint NOT NULL
);

CREATE INDEX dropped_entries_by_time ON dropped_entries (dropped_at);

CREATE FUNCTION clock_ms() RETURNS bigint LANGUAGE sql AS $$
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

CREATE FUNCTION take_alert_lease(lease text, asking text, for_ms bigint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  WITH taken AS (
    INSERT INTO alert_leases AS old (name, owner, until) VALUES (lease, asking, clock_ms() + for_ms)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
    WHERE old.owner = excluded.owner OR old.until <= clock_ms()
    RETURNING 1
  )
  SELECT EXISTS (SELECT FROM taken)
$$;

CREATE FUNCTION release_alert_lease(lease text, asking text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  DELETE FROM alert_leases WHERE name = lease AND owner = asking
$$;

-- An episode begins once and ends once, and only for the owner of the lease; each of its targets has one message of both.
CREATE FUNCTION change_alert(
  lease text, asking text, at bigint, event text, changed text, of_group text, rule text, value text, targets text[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  episode bigint;
BEGIN
  PERFORM FROM alert_leases WHERE name = lease AND owner = asking;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF event = 'fired' THEN
    INSERT INTO alert_episodes (alert, group_name, rule, value, fired_at)
    VALUES (changed, of_group, change_alert.rule, change_alert.value, at)
    ON CONFLICT (alert, group_name) WHERE cleared_at IS NULL DO NOTHING
    RETURNING id INTO episode;
  ELSE
    UPDATE alert_episodes SET cleared_at = at
    WHERE alert = changed AND group_name = of_group AND cleared_at IS NULL
    RETURNING id INTO episode;
  END IF;
  IF episode IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO alert_messages (episode_id, event, target, due_at)
  SELECT episode, change_alert.event, told, clock_ms() FROM unnest(targets) AS told;
  -- The history is the last thousand.
  DELETE FROM alert_messages WHERE episode_id IN (
    SELECT id FROM alert_episodes WHERE cleared_at IS NOT NULL AND id <= episode - 1000
  );
  DELETE FROM alert_episodes WHERE cleared_at IS NOT NULL AND id <= episode - 1000;
END $$;

CREATE FUNCTION claim_alert_messages(told text[], max_tries integer, again_ms bigint, most integer)
RETURNS TABLE (message_id bigint, message_event text, message_target text, message_tries integer, message_episode bigint)
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  UPDATE alert_messages AS claimed SET tries = claimed.tries + 1, due_at = clock_ms() + again_ms
  WHERE id IN (
    SELECT id FROM alert_messages AS message
    WHERE due_at <= clock_ms() AND tries < max_tries AND target = ANY (told)
      AND NOT EXISTS (
        SELECT FROM alert_messages AS before
        WHERE before.episode_id = message.episode_id AND before.target = message.target AND before.id < message.id
          AND before.due_at IS NOT NULL AND before.tries < max_tries
      )
    ORDER BY id LIMIT most FOR UPDATE SKIP LOCKED
  )
  RETURNING claimed.id, claimed.event, claimed.target, claimed.tries, claimed.episode_id
$$;

CREATE FUNCTION settle_alert_message(message_id bigint, problem text, again_ms bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  UPDATE alert_messages SET
    error = problem,
    due_at = CASE WHEN problem IS NULL THEN NULL ELSE clock_ms() + again_ms END,
    delivered_at = CASE WHEN problem IS NULL THEN clock_ms() END
  WHERE id = message_id
$$;

CREATE FUNCTION note_dropped(dropped bigint, keep_ms bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  INSERT INTO dropped_entries (dropped_at, entries) VALUES (clock_ms(), dropped);
  DELETE FROM dropped_entries WHERE dropped_at < clock_ms() - keep_ms
$$;

REVOKE EXECUTE ON FUNCTION
  take_alert_lease, release_alert_lease, change_alert, claim_alert_messages, settle_alert_message, note_dropped
FROM PUBLIC;
