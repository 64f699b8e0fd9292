"""The PostgreSQL engine, in a real server."""
