"""``GET /v1/stats/…``: usage is read, in 429chain's JSON."""

from __future__ import annotations

import re

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chainlog_async.server.replies import RefusalError, json_reply
from chainlog_async.service import ChainLog

DEFAULT_LIMIT = 50
MAX_LIMIT = 500


class NameConvertor(Convertor[str]):
    """The whole rest of a path, slashes and line breaks included; Starlette's own `path` ends at a line break."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """The name as it stands in the decoded path."""
        return value

    def to_string(self, value: str) -> str:
        """The name as it stands in the decoded path."""
        return value


register_url_convertor("chainlog_name", NameConvertor())


class StatsEndpoints:
    """The reads: each gives one answer of the aggregator."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog

    def routes(self) -> list[Route]:
        """The routes of all reads."""
        return [
            Route("/v1/stats/summary", self.summary),
            Route("/v1/stats/providers", self.providers),
            Route("/v1/stats/providers/{name:chainlog_name}", self.provider),
            Route("/v1/stats/chains", self.chains),
            Route("/v1/stats/chains/{name:chainlog_name}", self.chain),
            Route("/v1/stats/requests", self.requests),
        ]

    async def summary(self, request: Request) -> Response:
        """The whole log in three numbers."""
        _refuse_unknown_parameters(request)
        return json_reply({"summary": await self._chainlog.usage.get_summary_stats()})

    async def providers(self, request: Request) -> Response:
        """Every provider, last used first."""
        _refuse_unknown_parameters(request)
        return json_reply({"providers": await self._chainlog.usage.get_all_provider_usage()})

    async def provider(self, request: Request) -> Response:
        """One provider, or 404."""
        _refuse_unknown_parameters(request)
        usage = await self._chainlog.usage.get_provider_usage(request.path_params["name"])
        return _found_or(usage, "No usage data for provider")

    async def chains(self, request: Request) -> Response:
        """Every chain, last used first."""
        _refuse_unknown_parameters(request)
        return json_reply({"chains": await self._chainlog.usage.get_all_chain_usage()})

    async def chain(self, request: Request) -> Response:
        """One chain, or 404."""
        _refuse_unknown_parameters(request)
        usage = await self._chainlog.usage.get_chain_usage(request.path_params["name"])
        return _found_or(usage, "No usage data for chain")

    async def requests(self, request: Request) -> Response:
        """The newest requests, newest first."""
        _refuse_unknown_parameters(request, known="limit")
        return json_reply({"requests": await self._chainlog.usage.get_recent_requests(_limit_of(request))})


def _found_or(usage: object | None, otherwise: str) -> Response:
    # 429chain's own shape, unlike that of every other error here: its clients look for it.
    return json_reply({"error": otherwise}, status=404) if usage is None else json_reply(usage)


def _refuse_unknown_parameters(request: Request, *, known: str | None = None) -> None:
    unknown = sorted(name for name in request.query_params if name != known)
    if unknown:
        names = ", ".join(map(repr, unknown))
        may_be = f"only {known!r} is known here" if known else "none is known here"
        plural = "s" if len(unknown) > 1 else ""
        raise RefusalError(
            400, f"unknown query parameter{plural} {names}; {may_be}", "unknown_parameter", param=unknown[0]
        )


def _limit_of(request: Request) -> int:
    given = request.query_params.getlist("limit")
    if not given:
        return DEFAULT_LIMIT
    if len(given) == 1 and re.fullmatch("[0-9]{1,9}", given[0]) and 1 <= int(given[0]) <= MAX_LIMIT:
        return int(given[0])
    shown = " and ".join(map(repr, given))
    raise RefusalError(
        400, f"limit is {shown}; give one whole number from 1 to {MAX_LIMIT}", "invalid_parameter", param="limit"
    )
