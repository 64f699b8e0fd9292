"""The query parameters that choose requests, for every route that answers with requests."""

from __future__ import annotations

from chainlog_async.requests.filter import STATUS, RequestFilter

from .parameters import Given, instant, number_of_ms, pattern, text
from .responses import ApiError

TIME = "ISO 8601 (UTC where it names no zone), ms since the epoch, or how long ago, such as `24h` or `7d`."
FROM = instant("from", f"The first moment that is meant: {TIME}")
UNTIL = instant("until", f"The first moment that is not meant any more: {TIME}")
CHAIN = text("chain", "Requests of this chain.")
PROVIDER = text("provider", "Requests that this provider answered, or was tried last for.")
MODEL = text("model", "Requests of this model.")
CALLER = text("caller", "Requests of this caller.")
STATUSES = pattern(
    "status",
    "One status such as `429`, a class such as `4xx`, or `errors` for 400 and above.",
    STATUS,
    "one status such as 429, a class such as 4xx, or errors for 400 and above",
)
MIN_LATENCY = number_of_ms("minLatencyMs", "Requests that took at least so many ms.")
ERROR = text("error", "A part of the error message; A to Z are the same as a to z.")
REQUEST_ID = text("requestId", "The gateway's own id of the request.")

DETAILS = (CHAIN, PROVIDER, MODEL, CALLER, STATUSES, MIN_LATENCY, ERROR, REQUEST_ID)
FILTER = (FROM, UNTIL, *DETAILS)


def filter_of(given: Given) -> RequestFilter:
    """The filter that the parameters make. Raises ApiError (400) when the time ends before it begins."""
    start, end = given[FROM], given[UNTIL]
    if start is not None and end is not None and end < start:
        raise ApiError(400, "until is before from; turn them round", "invalid_parameter")
    return RequestFilter(
        start=start,
        end=end,
        chain=given[CHAIN],
        provider=given[PROVIDER],
        model=given[MODEL],
        caller=given[CALLER],
        status=given[STATUSES],
        min_latency_ms=given[MIN_LATENCY],
        error_text=given[ERROR],
        request_id=given[REQUEST_ID],
    )
