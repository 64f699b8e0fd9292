"""``GET /v1/usage`` and related routes: usage, latency and provider health over time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypedDict, TypeVar, cast, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.common.zones import UnknownZoneError
from chainlog_async.server.http.operation import Operation
from chainlog_async.server.http.parameters import (
    ParsedParameters,
    integer_parameter,
    pattern_parameter,
    text_parameter,
    time_parameter,
)
from chainlog_async.server.http.request_filters import (
    NAME_FILTERS,
    TAG,
    TIME_FORMATS,
    names_of,
    refused_window,
)
from chainlog_async.server.http.responses import ApiError, json_reply
from chainlog_async.server.own_reads import own_reads
from chainlog_async.usage.cache_savings import CacheSavings
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import MAX_GROUPS, DurationsOf, UsageFilter, UsageQuery
from chainlog_async.usage.tags import BY_TAG_PATTERN
from chainlog_async.usage.time_window import STEPS, Step, Window, WindowError, refuse_empty_window
from chainlog_async.usage.totals import Names

_T = TypeVar("_T")

DEFAULT_WINDOW_MS = DAY_MS

WINDOW_FROM = time_parameter("from", f"Start of the window; default 24 hours before its end. {TIME_FORMATS}")
WINDOW_UNTIL = time_parameter("until", f"End of the window; default now. {TIME_FORMATS}")
STEP = pattern_parameter(
    "step", "Length of a step; by default the window is one step.", "|".join(STEPS), f"one of {', '.join(STEPS)}"
)
ZONE = text_parameter("tz", "Time zone whose midnights start a step, such as `Europe/Berlin`; default UTC.")
BY = pattern_parameter(
    "by",
    "Dimension to group by; `tag:KEY` groups by the values of a key of tags.",
    f"{'|'.join(get_args(GroupBy))}|{BY_TAG_PATTERN}",
    f"one of {', '.join(get_args(GroupBy))}, or tag:KEY, such as tag:team",
)
BY_NAME = pattern_parameter(
    "by", "Dimension to group by.", "|".join(get_args(GroupBy)), f"one of {', '.join(get_args(GroupBy))}"
)
GROUPS = integer_parameter(
    "groups", "Maximum number of groups; the others are summed.", minimum=1, maximum=MAX_GROUPS, default=20
)
FILL = pattern_parameter("fill", "`true` includes steps without requests.", "true|false", "true or false")
OUTCOME = pattern_parameter(
    "outcome",
    "Requests whose percentiles are returned: `answered` (the default), `unanswered` (failed or cancelled), or `all`.",
    "|".join(get_args(DurationsOf)),
    f"one of {', '.join(get_args(DurationsOf))}",
)
BINS = pattern_parameter(
    "bins",
    "`true` adds how many requests took how long, in bins of 10 % (`latencyBins`).",
    "true|false",
    "true or false",
)

WINDOW_PARAMETERS = (WINDOW_FROM, WINDOW_UNTIL)
_COMMON_PARAMETERS = (*WINDOW_PARAMETERS, STEP, ZONE, *NAME_FILTERS, GROUPS, FILL)
QUERY_PARAMETERS = (*_COMMON_PARAMETERS, BY, TAG)
LATENCY_PARAMETERS = (*_COMMON_PARAMETERS, BY_NAME, OUTCOME, BINS)


class _Reply(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from"}):
    since: int
    """Start of the window, in ms since the epoch, UTC."""
    until: int
    """End of the window, in ms since the epoch, UTC."""


class _OverTime(_Reply, frozen=True, kw_only=True):
    step: Step | None
    tz: str
    by: str | None


class UsageReply(_OverTime, frozen=True, kw_only=True):
    """Usage over time."""

    points: list[UsagePoint]
    """By step, the largest group first."""


class LatencyReply(_OverTime, frozen=True, kw_only=True):
    """Latency, time to first token and error rates over time."""

    points: list[LatencyPoint]
    """By step, the largest group first."""


class ProvidersHealthReply(_Reply, frozen=True, kw_only=True):
    """How often each provider answers, refuses or fails."""

    providers: list[ProviderHealth]
    """The provider with the most attempts first."""


class CacheSavingsReply(_Reply, frozen=True, kw_only=True):
    """What the providers' caches saved."""

    savings: CacheSavings
    """The tokens that were cached, and what that saved."""


class UsageEndpoints:
    """The routes that aggregate all requests of a window."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        return [
            Operation("/v1/usage", self.get_usage, UsageReply, QUERY_PARAMETERS, needs="read"),
            Operation("/v1/latency", self.get_latency, LatencyReply, LATENCY_PARAMETERS, needs="read"),
            Operation(
                "/v1/providers/health",
                self.get_provider_health,
                ProvidersHealthReply,
                WINDOW_PARAMETERS,
                needs="read_all",
            ),
            Operation(
                "/v1/cache-savings",
                self.get_cache_savings,
                CacheSavingsReply,
                (*WINDOW_PARAMETERS, *NAME_FILTERS, TAG),
                needs="read",
            ),
            Operation("/v1/names", self.get_names, Names, needs="read"),
        ]

    async def get_usage(self, request: Request, parameters: ParsedParameters) -> Response:
        """Usage in each step of a window, in total or by chain, provider, model, caller or a key of tags.

        Windows are extended to whole quarters of an hour. The cost of a query does not grow with the log.

        By tag, and of one tag, usage is counted by the hour (UTC): windows are extended to whole hours, an hour counts
        for the step in which it begins, and steps take an hour or more. A request counts under each of its tags, and by
        `tag:KEY` only those are counted that have one. The first 1,000 values of a key are counted by themselves, all
        others as `(others)`.
        """
        query = _UsageRequest(parameters)
        points = await query.ask(own_reads(request, self._chainlog).get_usage)
        return json_reply(UsageReply(**query.echo(), points=points))

    async def get_latency(self, request: Request, parameters: ParsedParameters) -> Response:
        """Percentiles of latency and time to first token, tokens per second, and the rates of errors and 429s.

        Percentiles are of answered requests unless `outcome` says otherwise, and within 5 % of the exact values.
        """
        query = _UsageRequest(
            parameters,
            cast("DurationsOf", parameters[OUTCOME] or "answered"),
            with_bins=parameters[BINS] == "true",
        )
        points = await query.ask(own_reads(request, self._chainlog).get_latency)
        return json_reply(LatencyReply(**query.echo(), points=points))

    async def get_provider_health(self, _request: Request, parameters: ParsedParameters) -> Response:
        """How often each model of each provider answered, returned 429 or failed, counting every attempt."""
        window = _window(parameters)
        providers = await _or_bad_request(self._chainlog.usage.get_provider_health(window))
        return json_reply(ProvidersHealthReply(since=window.start, until=window.end, providers=providers))

    async def get_cache_savings(self, request: Request, parameters: ParsedParameters) -> Response:
        """What reading prompts from the providers' caches saved, after what writing to the caches cost.

        It is computed from the tokens of the window and the prices at its end, without service tiers.
        """
        window = _window(parameters)
        where = UsageFilter(**names_of(parameters), tag=parameters[TAG])
        found = await _or_bad_request(own_reads(request, self._chainlog).get_cache_savings(window, where))
        return json_reply(CacheSavingsReply(since=window.start, until=window.end, savings=found))

    async def get_names(self, request: Request, _parameters: ParsedParameters) -> Response:
        """The names that requests can be filtered by: chains, providers, models and callers; and the keys of tags."""
        return json_reply(await own_reads(request, self._chainlog).get_names())


class _UsageRequest:
    def __init__(
        self, parameters: ParsedParameters, durations_of: DurationsOf = "answered", *, with_bins: bool = False
    ) -> None:
        self._parameters = parameters
        self._durations_of = durations_of
        self._with_bins = with_bins
        self._window = _window(parameters)
        self._by = parameters[BY]

    async def ask(self, get: Callable[[UsageQuery], Awaitable[list[_T]]]) -> list[_T]:
        parameters = self._parameters
        where = UsageFilter(**names_of(parameters), tag=parameters[TAG])
        try:
            query = UsageQuery(
                window=self._window,
                by=self._by,
                where=where,
                max_groups=parameters[GROUPS],
                fill=parameters[FILL] == "true",
                durations_of=self._durations_of,
                with_bins=self._with_bins,
            )
        except ValueError as error:
            raise ApiError(400, str(error), "invalid_parameter") from None
        return await _or_bad_request(get(query))

    def echo(self) -> _QueryEcho:
        window = self._window
        return {"since": window.start, "until": window.end, "step": window.step, "tz": window.zone, "by": self._by}


class _QueryEcho(TypedDict):
    since: int
    until: int
    step: Step | None
    tz: str
    by: str | None


def _window(parameters: ParsedParameters) -> Window:
    since, until = parameters[WINDOW_FROM], parameters[WINDOW_UNTIL]
    now = now_ms()
    try:
        refuse_empty_window(since, until, now=now)
    except (WindowError, UnknownZoneError) as error:
        raise refused_window(error) from None
    if until is None:
        until = now
    if since is None:
        # Up to now, if the window ends in the future.
        since = max(min(until, now) - DEFAULT_WINDOW_MS, 0)
    zone = parameters[ZONE]
    return Window(
        start=since, end=until, step=cast("Step | None", parameters[STEP]), zone="UTC" if zone is None else zone
    )


async def _or_bad_request(answer: Awaitable[_T]) -> _T:
    try:
        return await answer
    except (WindowError, UnknownZoneError) as error:
        raise refused_window(error) from None
    except ValueError as error:
        raise ApiError(400, str(error), "invalid_parameter") from None
