"""A PostgreSQL server of one's own, without root, and the service on it: `make run-postgres`."""
