-- Alerts: which rules are met, and who is still to be told. Their state survives a restart, and is one for all processes.
CREATE TABLE alert_leases (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE alert_episodes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  alert TEXT NOT NULL,
  group_name TEXT NOT NULL,
  rule TEXT NOT NULL,
  value TEXT NOT NULL,
  fired_at INTEGER NOT NULL,
  cleared_at INTEGER
);

CREATE UNIQUE INDEX open_alert_episodes ON alert_episodes (alert, group_name) WHERE cleared_at IS NULL;

-- `due_at` is NULL once the target has it, or will not get it any more.
CREATE TABLE alert_messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  episode_id INTEGER NOT NULL,
  event TEXT NOT NULL,
  target TEXT NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER,
  delivered_at INTEGER,
  error TEXT
);

CREATE INDEX due_alert_messages ON alert_messages (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX alert_messages_by_episode ON alert_messages (episode_id);

-- Entries that a process dropped, noted about every `alert_interval_ms`.
CREATE TABLE dropped_entries (
  dropped_at INTEGER NOT NULL,
  entries INTEGER NOT NULL
);

CREATE INDEX dropped_entries_by_time ON dropped_entries (dropped_at);

-- What an evaluation found, to be inserted by the owner of the lease. `targets` is a JSON array of names.
CREATE VIEW alert_changes AS
SELECT '' AS lease, '' AS owner, 0 AS at, '' AS event, alert, group_name, rule, value, '[]' AS targets
FROM alert_episodes WHERE 0;

-- One statement is one transaction, and does nothing the second time: an episode begins once and ends once, and each of
-- its targets has one message of both.
CREATE TRIGGER fire_alert INSTEAD OF INSERT ON alert_changes
WHEN NEW.event = 'fired'
  AND EXISTS (SELECT 1 FROM alert_leases WHERE name = NEW.lease AND owner = NEW.owner)
  AND NOT EXISTS (
    SELECT 1 FROM alert_episodes WHERE alert = NEW.alert AND group_name = NEW.group_name AND cleared_at IS NULL
  )
BEGIN
  INSERT INTO alert_episodes (alert, group_name, rule, value, fired_at)
  VALUES (NEW.alert, NEW.group_name, NEW.rule, NEW.value, NEW.at);

  INSERT INTO alert_messages (episode_id, event, target, due_at)
  SELECT
    (SELECT id FROM alert_episodes WHERE alert = NEW.alert AND group_name = NEW.group_name AND cleared_at IS NULL),
    'fired', value, NEW.at
  FROM json_each(NEW.targets);

  -- The history is the last thousand.
  DELETE FROM alert_messages WHERE episode_id IN (
    SELECT id FROM alert_episodes
    WHERE cleared_at IS NOT NULL AND id <= (SELECT MAX(id) FROM alert_episodes) - 1000
  );

  DELETE FROM alert_episodes
  WHERE cleared_at IS NOT NULL AND id <= (SELECT MAX(id) FROM alert_episodes) - 1000;
END;

CREATE TRIGGER clear_alert INSTEAD OF INSERT ON alert_changes
WHEN NEW.event = 'cleared' AND EXISTS (SELECT 1 FROM alert_leases WHERE name = NEW.lease AND owner = NEW.owner)
BEGIN
  INSERT INTO alert_messages (episode_id, event, target, due_at)
  SELECT alert_episodes.id, 'cleared', told.value, NEW.at
  FROM alert_episodes CROSS JOIN json_each(NEW.targets) AS told
  WHERE alert = NEW.alert AND group_name = NEW.group_name AND cleared_at IS NULL;

  UPDATE alert_episodes SET cleared_at = NEW.at
  WHERE alert = NEW.alert AND group_name = NEW.group_name AND cleared_at IS NULL;
END;
