"""Integrations that log the requests of other programs; each serves one kind of gateway and imports only the core."""
