"""The conditions of partial indexes, as the migrations have them: a query that is to use one must repeat it."""

from __future__ import annotations

MAY_HAVE_FAILED = "http_status >= 400 OR (error_message IS NOT NULL AND attempt_trail IS NOT NULL)"
"""Of idx_logs_errors (0010)."""
