"""Logs the calls that a provider's SDK or a client of httpx makes. Imports neither of them, nor the storage."""
