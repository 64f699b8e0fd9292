"""An operator's work on a log in PostgreSQL."""
