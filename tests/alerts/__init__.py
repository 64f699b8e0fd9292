"""Alerts: rules on real logs, real receivers, restarts and several processes."""
