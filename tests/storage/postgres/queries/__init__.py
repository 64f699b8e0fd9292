"""The reads of PostgreSQL."""
