"""``GET /v1/stats/…``: usage in the JSON of 429chain."""

from __future__ import annotations

from typing import Self

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.requests.cursor import MAX_PAGE
from chainlog_async.server.http.operation import NOT_FOUND, Operation
from chainlog_async.server.http.parameters import Parameter, ParsedParameters, integer_parameter
from chainlog_async.server.http.responses import ApiError, json_reply
from chainlog_async.server.own_reads import own_reads
from chainlog_async.usage.totals import SummaryStats


class NameConvertor(Convertor[str]):
    """The rest of a path, including slashes and line breaks; Starlette's own `path` ends at a line break."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """Returns the name from the decoded path unchanged."""
        return value

    def to_string(self, value: str) -> str:
        """Returns the name for the decoded path unchanged."""
        return value


register_url_convertor("chainlog_name", NameConvertor())

RECENT_LIMIT = integer_parameter("limit", "Maximum number of requests.", minimum=1, maximum=MAX_PAGE, default=50)
NAME = Parameter("name", "The name; slashes may be encoded or not.", str, "a name", {"type": "string"}, "", "path")


class SummaryReply(msgspec.Struct, frozen=True):
    """Totals of the whole log."""

    summary: SummaryStats


class OriginalFields(msgspec.Struct, frozen=True, rename="camel"):
    """Base of what 429chain answers with: its fields of something that has more of them here."""

    @classmethod
    def of(cls, whole: object) -> Self:
        """Returns the fields that 429chain has."""
        return cls(*(getattr(whole, name) for name in cls.__struct_fields__))


class OriginalProviderUsage(OriginalFields, frozen=True):
    """All-time totals of one provider, with the fields that 429chain has."""

    provider_id: str
    total_requests: int
    total_tokens: int
    total_prompt_tokens: int
    total_completion_tokens: int
    last_request_timestamp: int
    """In ms since the epoch, UTC."""


class OriginalChainUsage(OriginalFields, frozen=True):
    """All-time totals of one chain, with the fields that 429chain has."""

    chain_name: str
    total_requests: int
    total_tokens: int
    total_prompt_tokens: int
    total_completion_tokens: int
    last_request_timestamp: int
    """In ms since the epoch, UTC."""


class OriginalRequest(OriginalFields, frozen=True):
    """A request with the fields that 429chain has."""

    id: int
    timestamp: int
    """In ms since the epoch, UTC."""
    chain_name: str
    provider_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    latency_ms: int
    http_status: int
    attempts: int
    error_message: str | None


class ProvidersReply(msgspec.Struct, frozen=True):
    """Every provider."""

    providers: list[OriginalProviderUsage]


class ChainsReply(msgspec.Struct, frozen=True):
    """Every chain."""

    chains: list[OriginalChainUsage]


class RequestsReply(msgspec.Struct, frozen=True):
    """The newest requests."""

    requests: list[OriginalRequest]


class StatsEndpoints:
    """The routes of 429chain's statistics."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        return [
            Operation("/v1/stats/summary", self.get_summary, SummaryReply, needs="read_all"),
            Operation("/v1/stats/providers", self.get_providers, ProvidersReply, needs="read_all"),
            Operation(
                "/v1/stats/providers/{name:chainlog_name}",
                self.get_provider,
                OriginalProviderUsage,
                (NAME,),
                other_answers=NOT_FOUND,
                needs="read_all",
            ),
            Operation("/v1/stats/chains", self.get_chains, ChainsReply, needs="read_all"),
            Operation(
                "/v1/stats/chains/{name:chainlog_name}",
                self.get_chain,
                OriginalChainUsage,
                (NAME,),
                other_answers=NOT_FOUND,
                needs="read_all",
            ),
            Operation("/v1/stats/requests", self.get_recent, RequestsReply, (RECENT_LIMIT,), needs="read"),
        ]

    async def get_summary(self, _request: Request, _parameters: ParsedParameters) -> Response:
        """Totals of the whole log."""
        return json_reply(SummaryReply(await self._chainlog.usage.get_summary_stats()))

    async def get_providers(self, _request: Request, _parameters: ParsedParameters) -> Response:
        """All-time usage of every provider, most recently used first."""
        usage = await self._chainlog.usage.get_all_provider_usage()
        return json_reply(ProvidersReply(list(map(OriginalProviderUsage.of, usage))))

    async def get_provider(self, _request: Request, parameters: ParsedParameters) -> Response:
        """All-time usage of one provider."""
        usage = await self._chainlog.usage.get_provider_usage(parameters[NAME])
        return _found_or_404(usage and OriginalProviderUsage.of(usage), "No usage data for provider")

    async def get_chains(self, _request: Request, _parameters: ParsedParameters) -> Response:
        """All-time usage of every chain, most recently used first."""
        usage = await self._chainlog.usage.get_all_chain_usage()
        return json_reply(ChainsReply(list(map(OriginalChainUsage.of, usage))))

    async def get_chain(self, _request: Request, parameters: ParsedParameters) -> Response:
        """All-time usage of one chain."""
        usage = await self._chainlog.usage.get_chain_usage(parameters[NAME])
        return _found_or_404(usage and OriginalChainUsage.of(usage), "No usage data for chain")

    async def get_recent(self, request: Request, parameters: ParsedParameters) -> Response:
        """The newest requests, newest first, with the fields of 429chain; `/v1/requests` has all fields."""
        rows = await own_reads(request, self._chainlog).get_recent_requests(parameters[RECENT_LIMIT])
        return json_reply(RequestsReply(list(map(OriginalRequest.of, rows))))


def _found_or_404(usage: object | None, otherwise: str) -> Response:
    if usage is None:
        raise ApiError(404, otherwise, "not_found")
    return json_reply(usage)
