"""The engine that sends the log to a `chainlog serve` over HTTP. Needs the extra `remote`."""
