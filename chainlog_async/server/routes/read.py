"""``POST /v1/read/{question}``: the reads of a log, for `storage.remote`; see `wire.questions`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.zones import UnknownZoneError
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http.operation import Body, Operation
from chainlog_async.server.http.parameters import ParsedParameters, choice_parameter
from chainlog_async.server.http.request_body import BodyLimits
from chainlog_async.server.http.responses import ApiError, ErrorReply, json_reply
from chainlog_async.server.own_reads import own_reads
from chainlog_async.usage_aggregator import UsageAggregator
from chainlog_async.wire import questions as q
from chainlog_async.wire.batches import PROTOCOL

_T = TypeVar("_T")

Ask = Callable[[UsageAggregator, bytes], Awaitable[object]]


def _question(arguments: type[_T], ask: Callable[[UsageAggregator, _T], Awaitable[object]]) -> Ask:
    decode = msgspec.json.Decoder(arguments).decode

    async def answer(usage: UsageAggregator, body: bytes) -> object:
        return await ask(usage, decode(body))

    return answer


QUESTIONS: dict[str, Ask] = {
    "get_all_provider_usage": _question(q.Nothing, lambda usage, _: usage.get_all_provider_usage()),
    "get_provider_usage": _question(q.ByName, lambda usage, what: usage.get_provider_usage(what.name)),
    "get_all_chain_usage": _question(q.Nothing, lambda usage, _: usage.get_all_chain_usage()),
    "get_chain_usage": _question(q.ByName, lambda usage, what: usage.get_chain_usage(what.name)),
    "get_summary_stats": _question(q.Nothing, lambda usage, _: usage.get_summary_stats()),
    "get_recent_requests": _question(q.Newest, lambda usage, what: usage.get_recent_requests(what.limit)),
    "get_requests_after": _question(
        q.After, lambda usage, what: usage.get_requests_after(what.after_id, limit=what.limit)
    ),
    "find_requests": _question(
        q.Find, lambda usage, what: usage.find_requests(what.where, limit=what.limit, cursor=what.cursor)
    ),
    "get_request": _question(q.ById, lambda usage, what: usage.get_request(what.request_id)),
    "find_sessions": _question(
        q.FindSessions, lambda usage, what: usage.find_sessions(what.where, limit=what.limit, cursor=what.cursor)
    ),
    "get_session": _question(q.OneSession, lambda usage, what: usage.get_session(what.session_id, caller=what.caller)),
    "find_request_ids": _question(
        q.ByPrefix, lambda usage, what: usage.find_request_ids(what.prefix, limit=what.limit)
    ),
    "get_newest_id": _question(q.Nothing, lambda usage, _: usage.get_newest_id()),
    "get_oldest_timestamp": _question(q.Nothing, lambda usage, _: usage.get_oldest_timestamp()),
    "get_usage": _question(q.Usage, lambda usage, what: usage.get_usage(what.query)),
    "get_latency": _question(q.Usage, lambda usage, what: usage.get_latency(what.query)),
    "get_provider_health": _question(q.InWindow, lambda usage, what: usage.get_provider_health(what.window)),
    "get_prices": _question(q.Prices, lambda usage, what: usage.get_prices(what.models, at=what.at)),
    "get_names": _question(q.Nothing, lambda usage, _: usage.get_names()),
    "get_metric_totals": _question(q.Groups, lambda usage, what: usage.get_metric_totals(what.max_groups)),
}

QUESTION = replace(
    choice_parameter("question", "The name of the question.", tuple(QUESTIONS), default="get_newest_id"),
    location="path",
    schema={"type": "string", "enum": tuple(QUESTIONS)},
)


def read_operation(chainlog: ChainLog, counters: ServiceCounters) -> Operation:
    """Returns the route."""
    limits = BodyLimits(chainlog.settings.server, counters)

    async def ask_log(request: Request, parameters: ParsedParameters) -> Response:
        """Answer a question of a gateway or a command whose `db_url` is this service. Internal.

        The other routes have the same answers for everybody else.
        """
        async with limits.received(request) as body:
            answer = await _asked(QUESTIONS[parameters[QUESTION]], own_reads(request, chainlog), body)
        return json_reply(q.Answer(PROTOCOL, answer))

    return Operation(
        f"{q.READ_PATH}/{{question}}",
        ask_log,
        q.Answer[object],
        (QUESTION,),
        method="POST",
        needs="read",
        other_answers=dict.fromkeys((408, 413, 415), ErrorReply),
        body=Body(dict[str, object], "The arguments of the question.", "one"),
    )


async def _asked(ask: Ask, usage: UsageAggregator, body: bytes) -> object:
    try:
        return await ask(usage, body)
    except UnknownZoneError as error:
        raise ApiError(400, str(error), q.UNKNOWN_ZONE) from None
    except (ValueError, RecursionError) as error:
        # msgspec's errors are of these, too.
        raise ApiError(400, str(error), q.INVALID_QUESTION) from None
