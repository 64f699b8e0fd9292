"""The tools: each reads the log, and returns JSON. Their docstrings are what an agent is told about them."""

from __future__ import annotations

from typing import Any

import msgspec

from chainlog_async import RequestFilter, UsageAggregator, UsageFilter, UsageQuery, Window
from chainlog_async.admin.sql import query_database
from chainlog_async.common.clock import now_ms
from chainlog_async.common.units import parse_instant
from chainlog_async.settings import Settings
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.time_window import Step

MAX_REQUESTS = 50
"""How many requests one call returns at most: an agent has to read all of them."""

MAX_SQL_ROWS = 200
"""How many rows of SQL one call returns at most."""

# A tool returns JSON of any shape, and the schema of its arguments is made from its annotations.
Json = Any


class LogTools:
    """The tools of one log."""

    def __init__(self, usage: UsageAggregator, settings: Settings) -> None:
        self._usage = usage
        self._settings = settings

    async def usage(
        self,
        since: str = "24h",
        until: str | None = None,
        by: GroupBy | None = None,
        step: Step | None = None,
        chain: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        caller: str | None = None,
    ) -> Json:
        """Requests, errors, tokens and cost in US dollars over a window, in total or grouped by one dimension.

        Times are ISO 8601, ms since the epoch, or a duration back from now such as 90min, 24h or 7d. With a step, such
        as 1h or 1d, there is one point for each step.
        """
        where = UsageFilter(chain=chain, provider=provider, model=model, caller=caller)
        query = UsageQuery(window=_window(since, until, step), by=by, where=where)
        return {"points": _json(await self._usage.get_usage(query))}

    async def latency(
        self,
        since: str = "24h",
        until: str | None = None,
        by: GroupBy | None = None,
        step: Step | None = None,
        chain: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        caller: str | None = None,
    ) -> Json:
        """Percentiles of latency and time to first token in ms, tokens per second and rates of errors over a window.

        The arguments are those of usage.
        """
        where = UsageFilter(chain=chain, provider=provider, model=model, caller=caller)
        query = UsageQuery(window=_window(since, until, step), by=by, where=where)
        return {"points": _json(await self._usage.get_latency(query))}

    async def provider_health(self, since: str = "24h", until: str | None = None) -> Json:
        """How often each model of each provider answered, refused with 429 or failed, and its last error."""
        return {"providers": _json(await self._usage.get_provider_health(_window(since, until, None)))}

    async def find_requests(  # noqa: PLR0913, PLR0917  # an agent gives them by name
        self,
        since: str | None = None,
        until: str | None = None,
        status: str | None = None,
        chain: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        caller: str | None = None,
        error: str | None = None,
        min_latency_ms: float | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Json:
        """Requests that match all filters, newest first, with their attempts.

        status is one such as 429, a class such as 5xx, or an outcome: errors for all that failed, answered, or
        unanswered (failed or cancelled). error is a text that the error message contains. nextCursor of the result is
        the cursor of the next page.
        """
        where = RequestFilter(
            start=None if since is None else _time(since),
            end=None if until is None else _time(until),
            chain=chain,
            provider=provider,
            model=model,
            caller=caller,
            status=status,
            min_latency_ms=min_latency_ms,
            error_text=error,
        )
        return _json(await self._usage.find_requests(where, limit=min(limit, MAX_REQUESTS), cursor=cursor))

    async def get_request(self, id: int) -> Json:  # noqa: A002  # what agents see
        """One request in full, by its id in the log; null when there is none."""
        return {"request": _json(await self._usage.get_request(id))}

    async def names(self) -> Json:
        """The chains, providers, models and callers that occur in the log, to filter by."""
        return _json(await self._usage.get_names())

    async def sql(self, query: str) -> Json:
        """Runs one read-only statement on the SQLite file of the log, and returns at most 200 rows.

        request_logs has one row for each request, with timestamp in ms since the epoch, UTC; usage_buckets has sums
        over quarters of an hour. pragma_table_info('request_logs') lists the columns.
        """
        settings = self._settings
        return _json(
            await query_database(
                settings.db_path,
                query,
                max_rows=MAX_SQL_ROWS,
                timeout_ms=settings.read_timeout_ms,
                busy_timeout_ms=settings.busy_timeout_ms,
            )
        )


def _json(value: object) -> Json:
    return msgspec.to_builtins(value)


def _time(text: str) -> int:
    return parse_instant(text, now=now_ms())


def _window(since: str, until: str | None, step: Step | None) -> Window:
    now = now_ms()
    end = now if until is None else parse_instant(until, now=now)
    return Window(start=parse_instant(since, now=now), end=end, step=step)
