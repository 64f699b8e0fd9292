"""The engine that has another `chainlog serve` keep the log, over HTTP. Needs the extra `remote`."""
