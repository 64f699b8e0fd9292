"""Alerts: rules are evaluated beside the log; targets get one message when an alert fires and one when it clears."""

from __future__ import annotations

from .report import report_alerts
from .targets import Sender, TestResult, send_tests
from .watcher import AlertWatcher

__all__ = ["AlertWatcher", "Sender", "TestResult", "report_alerts", "send_tests"]
