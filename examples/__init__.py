"""Gateways that log with chainlog-async, small enough to be copied."""
