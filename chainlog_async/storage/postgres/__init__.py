"""The PostgreSQL engine (extra `postgres`)."""
