-- Rows that the database refused, kept whole so that they can be looked at and tried again.

CREATE TABLE rejected_entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  rejected_at INTEGER NOT NULL,
  error TEXT NOT NULL,
  entry TEXT NOT NULL
);

-- Like the view `batches`: the entry is put away and the position moves past it, both or neither.
CREATE VIEW rejections (writer_id, end_position, rejected_at, error, entry) AS
SELECT NULL, NULL, NULL, NULL, NULL WHERE FALSE;

CREATE TRIGGER write_rejection INSTEAD OF INSERT ON rejections
WHEN NOT EXISTS (
  SELECT 1 FROM writer_positions WHERE writer_id = NEW.writer_id AND position >= NEW.end_position
)
BEGIN
  INSERT INTO rejected_entries (rejected_at, error, entry) VALUES (NEW.rejected_at, NEW.error, NEW.entry);

  INSERT INTO writer_positions (writer_id, position) VALUES (NEW.writer_id, NEW.end_position)
  ON CONFLICT (writer_id) DO UPDATE SET position = excluded.position;
END;
