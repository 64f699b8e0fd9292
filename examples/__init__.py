"""Example gateways that log with chainlog-async, small enough to copy."""
