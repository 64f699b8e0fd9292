-- 429chain's second release: why a request failed.

ALTER TABLE request_logs ADD COLUMN error_message TEXT;
