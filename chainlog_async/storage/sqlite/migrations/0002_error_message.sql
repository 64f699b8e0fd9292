-- 429chain's second release: why a request failed. It adds the column and then stores the version, without a
-- transaction, so a kill in between leaves the column at version 1.
-- @skip-if-column error_message

ALTER TABLE request_logs ADD COLUMN error_message TEXT;
