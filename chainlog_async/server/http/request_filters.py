"""The query parameters that filter requests, for every route that returns requests."""

from __future__ import annotations

from chainlog_async.common.clock import now_ms
from chainlog_async.common.zones import UnknownZoneError
from chainlog_async.requests.filter import STATUS, RequestFilter
from chainlog_async.usage.tags import TAG as TAG_PATTERN
from chainlog_async.usage.time_window import WindowError, refuse_empty_window

from .parameters import ParsedParameters, ms_parameter, pattern_parameter, text_parameter, time_parameter
from .responses import ApiError

TIME_FORMATS = (
    "ISO 8601 (UTC unless it names a zone), ms since the epoch, or a duration back from now, such as `24h` or `7d`."
)
REQUESTS_FROM = time_parameter("from", f"Start of the range, inclusive: {TIME_FORMATS}")
REQUESTS_UNTIL = time_parameter("until", f"End of the range, exclusive: {TIME_FORMATS}")
CHAIN = text_parameter("chain", "Requests of this chain.")
PROVIDER = text_parameter("provider", "Requests that this provider answered, or for which it was tried last.")
MODEL = text_parameter("model", "Requests of this model.")
CALLER = text_parameter("caller", "Requests of this caller.")
STATUSES = pattern_parameter(
    "status",
    "One status such as `429`, a class such as `4xx`, or `errors` for all that failed.",
    STATUS,
    "one status such as 429, a class such as 4xx, or errors for all that failed",
)
MIN_LATENCY = ms_parameter("minLatencyMs", "Requests that took at least this many ms.")
ERROR = text_parameter("error", "Text that the error message contains; ASCII case is ignored.")
REQUEST_ID = text_parameter("requestId", "The gateway's own id of the request.")
SESSION = text_parameter("session", "Requests of this session.")
TAG = pattern_parameter(
    "tag", "Requests with this tag, such as `team:search`.", TAG_PATTERN, "one tag KEY:VALUE, such as team:search"
)

FIELD_FILTERS = (CHAIN, PROVIDER, MODEL, CALLER, STATUSES, MIN_LATENCY, ERROR, REQUEST_ID, SESSION, TAG)
REQUEST_FILTERS = (REQUESTS_FROM, REQUESTS_UNTIL, *FIELD_FILTERS)


_PARAMETER_OF_FIELD = {"start": "from", "end": "until", "step": "step", "zone": "tz"}


def refused_window(error: WindowError | UnknownZoneError) -> ApiError:
    """Returns the 400 for a window, which names the parameter to change."""
    return ApiError(400, str(error), "invalid_parameter", param=_PARAMETER_OF_FIELD[error.field])


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
        chain=parameters[CHAIN],
        provider=parameters[PROVIDER],
        model=parameters[MODEL],
        caller=parameters[CALLER],
        status=parameters[STATUSES],
        min_latency_ms=parameters[MIN_LATENCY],
        error_text=parameters[ERROR],
        request_id=parameters[REQUEST_ID],
        session_id=parameters[SESSION],
        tag=parameters[TAG],
    )
