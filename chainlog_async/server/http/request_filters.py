"""The query parameters that choose requests, for every route that answers with requests."""

from __future__ import annotations

from chainlog_async.requests.filter import STATUS, RequestFilter

from .parameters import ParsedParameters, ms_parameter, pattern_parameter, text_parameter, time_parameter
from .responses import ApiError

TIME_FORMATS = "ISO 8601 (UTC where it names no zone), ms since the epoch, or how long ago, such as `24h` or `7d`."
REQUESTS_FROM = time_parameter("from", f"The first moment that is meant: {TIME_FORMATS}")
REQUESTS_UNTIL = time_parameter("until", f"The first moment that is not meant any more: {TIME_FORMATS}")
CHAIN = text_parameter("chain", "Requests of this chain.")
PROVIDER = text_parameter("provider", "Requests that this provider answered, or was tried last for.")
MODEL = text_parameter("model", "Requests of this model.")
CALLER = text_parameter("caller", "Requests of this caller.")
STATUSES = pattern_parameter(
    "status",
    "One status such as `429`, a class such as `4xx`, or `errors` for 400 and above.",
    STATUS,
    "one status such as 429, a class such as 4xx, or errors for 400 and above",
)
MIN_LATENCY = ms_parameter("minLatencyMs", "Requests that took at least so many ms.")
ERROR = text_parameter("error", "A part of the error message; A to Z are the same as a to z.")
REQUEST_ID = text_parameter("requestId", "The gateway's own id of the request.")

FIELD_FILTERS = (CHAIN, PROVIDER, MODEL, CALLER, STATUSES, MIN_LATENCY, ERROR, REQUEST_ID)
REQUEST_FILTERS = (REQUESTS_FROM, REQUESTS_UNTIL, *FIELD_FILTERS)


def filter_of(parameters: ParsedParameters) -> RequestFilter:
    """The filter that the parameters make. Raises ApiError (400) when the time ends before it begins."""
    start, end = parameters[REQUESTS_FROM], parameters[REQUESTS_UNTIL]
    if start is not None and end is not None and end < start:
        raise ApiError(400, "until is before from; turn them round", "invalid_parameter")
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
    )
