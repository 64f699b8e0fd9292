"""The query parameters that filter requests, for every route that returns requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chainlog_async.common.clock import now_ms
from chainlog_async.common.name_sets import NameDimension, NamesAskedFor, names_asked_for
from chainlog_async.common.zones import UnknownZoneError
from chainlog_async.requests.filter import STATUS, STATUS_EXAMPLES, RequestFilter
from chainlog_async.usage.tags import TAG as TAG_PATTERN
from chainlog_async.usage.time_window import WindowError, refuse_empty_window

from .parameters import (
    Parameter,
    ParsedParameters,
    amount_parameter,
    ms_parameter,
    names_parameter,
    pattern_parameter,
    text_parameter,
    time_parameter,
)
from .responses import ApiError

TIME_FORMATS = (
    "ISO 8601 (UTC unless it names a zone), ms since the epoch, or a duration back from now, such as `24h` or `7d`."
)
REQUESTS_FROM = time_parameter("from", f"Start of the range, inclusive: {TIME_FORMATS}")
REQUESTS_UNTIL = time_parameter("until", f"End of the range, exclusive: {TIME_FORMATS}")
CHAIN = names_parameter("chain", "Requests of this chain; given several times, of one of them.")
PROVIDER = names_parameter(
    "provider",
    "Requests that this provider answered, or for which it was tried last; given several times, one of them.",
)
MODEL = names_parameter("model", "Requests of this model; given several times, of one of them.")
CALLER = names_parameter("caller", "Requests of this caller; given several times, of one of them.")
ONE_CALLER = text_parameter("caller", "Requests of this caller.")
NOT_CHAIN = names_parameter("notChain", "Requests of any other chain; may be given several times.")
NOT_PROVIDER = names_parameter("notProvider", "Requests of any other provider; may be given several times.")
NOT_MODEL = names_parameter("notModel", "Requests of any other model; may be given several times.")
NOT_CALLER = names_parameter("notCaller", "Requests of any other caller; may be given several times.")
STATUSES = pattern_parameter(
    "status",
    "One status such as `429`, a class such as `4xx`, or an outcome: `errors` for all that failed, `answered`, or "
    "`unanswered` (failed or cancelled).",
    STATUS,
    f"one status such as {STATUS_EXAMPLES}",
)
MIN_LATENCY = ms_parameter("minLatencyMs", "Requests that took at least this many ms.")
MAX_LATENCY = ms_parameter("maxLatencyMs", "Requests that took at most this many ms.")
MIN_TOKENS = amount_parameter("minTokens", "Requests of at least this many tokens.")
MAX_TOKENS = amount_parameter("maxTokens", "Requests of at most this many tokens.")
MIN_COST = amount_parameter("minCostUsd", "Requests that cost at least this, in US dollars.")
MAX_COST = amount_parameter("maxCostUsd", "Requests that cost at most this, in US dollars.")
MIN_ATTEMPTS = amount_parameter("minAttempts", "Requests that took at least this many attempts.")
MAX_ATTEMPTS = amount_parameter("maxAttempts", "Requests that took at most this many attempts.")
SEARCH = text_parameter(
    "search",
    "Text that a name, the error message, an id, a tag or the metadata (as JSON) contains; ASCII case is ignored.",
)
ERROR = text_parameter("error", "Text that the error message contains; ASCII case is ignored.")
REQUEST_ID = text_parameter("requestId", "The gateway's own id of the request.")
SESSION = text_parameter("session", "Requests of this session.")
TAG = pattern_parameter(
    "tag", "Requests with this tag, such as `team:search`.", TAG_PATTERN, "one tag KEY:VALUE, such as team:search"
)

NAME_FILTERS = (CHAIN, PROVIDER, MODEL, CALLER, NOT_CHAIN, NOT_PROVIDER, NOT_MODEL, NOT_CALLER)
BOUND_FILTERS = (
    MIN_LATENCY,
    MAX_LATENCY,
    MIN_TOKENS,
    MAX_TOKENS,
    MIN_COST,
    MAX_COST,
    MIN_ATTEMPTS,
    MAX_ATTEMPTS,
)
FIELD_FILTERS = (*NAME_FILTERS, STATUSES, *BOUND_FILTERS, ERROR, REQUEST_ID, SESSION, TAG, SEARCH)
REQUEST_FILTERS = (REQUESTS_FROM, REQUESTS_UNTIL, *FIELD_FILTERS)


_PARAMETER_OF_FIELD = {"start": "from", "end": "until", "step": "step", "zone": "tz"}


def refused_window(error: WindowError | UnknownZoneError) -> ApiError:
    """Returns the 400 for a window, which names the parameter to change."""
    return ApiError(400, str(error), "invalid_parameter", param=_PARAMETER_OF_FIELD[error.field])


_SINGLE: Final[Mapping[NameDimension, Parameter[tuple[str, ...]]]] = {
    "chain": CHAIN,
    "provider": PROVIDER,
    "model": MODEL,
    "caller": CALLER,
}
_EXCLUDED: Final[Mapping[NameDimension, Parameter[tuple[str, ...]]]] = {
    "chain": NOT_CHAIN,
    "provider": NOT_PROVIDER,
    "model": NOT_MODEL,
    "caller": NOT_CALLER,
}


def names_of(parameters: ParsedParameters) -> NamesAskedFor:
    """Returns the names that the parameters ask for, or leave out."""
    given = {dimension: parameters[parameter] for dimension, parameter in _SINGLE.items()}
    excluded = {dimension: parameters[parameter] for dimension, parameter in _EXCLUDED.items()}
    return names_asked_for(given, excluded)


def filter_of(parameters: ParsedParameters) -> RequestFilter:
    """Returns the filter that the parameters describe. Raises `ApiError` (400) when no time is in its window."""
    start, end = parameters[REQUESTS_FROM], parameters[REQUESTS_UNTIL]
    try:
        refuse_empty_window(start, end, now=now_ms())
    except WindowError as error:
        raise refused_window(error) from None
    return RequestFilter(
        start=start,
        end=end,
        **names_of(parameters),
        status=parameters[STATUSES],
        min_latency_ms=parameters[MIN_LATENCY],
        max_latency_ms=parameters[MAX_LATENCY],
        min_tokens=parameters[MIN_TOKENS],
        max_tokens=parameters[MAX_TOKENS],
        min_cost_usd=parameters[MIN_COST],
        max_cost_usd=parameters[MAX_COST],
        min_attempts=parameters[MIN_ATTEMPTS],
        max_attempts=parameters[MAX_ATTEMPTS],
        search=parameters[SEARCH],
        error_text=parameters[ERROR],
        request_id=parameters[REQUEST_ID],
        session_id=parameters[SESSION],
        tag=parameters[TAG],
    )
