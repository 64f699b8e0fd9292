"""Questions that a `chainlog serve` on another machine answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from chainlog_async.prices.model import Price
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.sessions import Session, SessionFilter, SessionPage
from chainlog_async.storage.base import ReadStorage
from chainlog_async.usage.metric_totals import MetricTotals
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import ChainUsage, Names, ProviderUsage, SummaryStats
from chainlog_async.wire import questions as q
from chainlog_async.wire.batches import PROTOCOL

from .errors import other_form, other_protocol
from .exchange import Exchange

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

_T = TypeVar("_T")

ANSWER_MARGIN_S: Final = 5.0
"""How much longer than `read_timeout_ms` an answer may take, in seconds."""

NOTHING: Final = q.Nothing()


class RemoteReadStorage(ReadStorage):
    """Each method is one question, `POST /v1/read/{question}`, and has the name of the method."""

    def __init__(self, settings: Settings) -> None:
        timeout_s = settings.read_timeout_ms / 1_000 + ANSWER_MARGIN_S
        self._exchange = Exchange(settings, timeout_s=timeout_s, connections=settings.max_readers)

    async def aclose(self) -> None:
        """See `ReadStorage`, as for every method here."""
        await self._exchange.aclose()

    async def renew(self) -> None:
        """Makes new connections."""
        await self._exchange.reset()

    async def get_all_provider_usage(self) -> list[ProviderUsage]:
        """Asks the server, as every method here."""
        return await self._ask("get_all_provider_usage", NOTHING, q.Answer[list[ProviderUsage]])

    async def get_provider_usage(self, provider_id: str) -> ProviderUsage | None:
        """Asks."""
        return await self._ask("get_provider_usage", q.ByName(provider_id), q.Answer[ProviderUsage | None])

    async def get_all_chain_usage(self) -> list[ChainUsage]:
        """Asks."""
        return await self._ask("get_all_chain_usage", NOTHING, q.Answer[list[ChainUsage]])

    async def get_chain_usage(self, chain_name: str) -> ChainUsage | None:
        """Asks."""
        return await self._ask("get_chain_usage", q.ByName(chain_name), q.Answer[ChainUsage | None])

    async def get_summary_stats(self) -> SummaryStats:
        """Asks."""
        return await self._ask("get_summary_stats", NOTHING, q.Answer[SummaryStats])

    async def get_recent_requests(self, limit: int) -> list[RequestLogRow]:
        """Asks."""
        return await self._ask("get_recent_requests", q.Newest(limit), q.Answer[list[RequestLogRow]])

    async def get_requests_after(self, after_id: int, *, limit: int) -> list[RequestLogRow]:
        """Asks."""
        return await self._ask("get_requests_after", q.After(after_id, limit), q.Answer[list[RequestLogRow]])

    async def find_requests(self, where: RequestFilter, *, limit: int, cursor: str | None) -> RequestPage:
        """Asks."""
        return await self._ask("find_requests", q.Find(where, limit, cursor), q.Answer[RequestPage])

    async def get_request(self, request_id: int) -> RequestLogRow | None:
        """Asks."""
        return await self._ask("get_request", q.ById(request_id), q.Answer[RequestLogRow | None])

    async def find_sessions(self, where: SessionFilter, *, limit: int, cursor: str | None) -> SessionPage:
        """Asks."""
        return await self._ask("find_sessions", q.FindSessions(where, limit, cursor), q.Answer[SessionPage])

    async def get_session(self, session_id: str, *, caller: str | None) -> Session | None:
        """Asks."""
        return await self._ask("get_session", q.OneSession(session_id, caller), q.Answer[Session | None])

    async def find_request_ids(self, prefix: str, *, limit: int) -> list[str]:
        """Asks."""
        return await self._ask("find_request_ids", q.ByPrefix(prefix, limit), q.Answer[list[str]])

    async def get_newest_id(self) -> int:
        """Asks."""
        return await self._ask("get_newest_id", NOTHING, q.Answer[int])

    async def get_oldest_timestamp(self) -> int | None:
        """Asks."""
        return await self._ask("get_oldest_timestamp", NOTHING, q.Answer[int | None])

    async def get_usage(self, query: UsageQuery) -> list[UsagePoint]:
        """Asks."""
        return await self._ask("get_usage", q.Usage(query), q.Answer[list[UsagePoint]])

    async def get_latency(self, query: UsageQuery) -> list[LatencyPoint]:
        """Asks."""
        return await self._ask("get_latency", q.Usage(query), q.Answer[list[LatencyPoint]])

    async def get_provider_health(self, window: Window) -> list[ProviderHealth]:
        """Asks."""
        return await self._ask("get_provider_health", q.InWindow(window), q.Answer[list[ProviderHealth]])

    async def get_prices(self, models: Sequence[tuple[str, str]], at: int) -> list[Price | None]:
        """Asks."""
        return await self._ask("get_prices", q.Prices(models, at), q.Answer[list[Price | None]])

    async def get_names(self) -> Names:
        """Asks."""
        return await self._ask("get_names", NOTHING, q.Answer[Names])

    async def get_metric_totals(self, max_groups: int) -> MetricTotals:
        """Asks."""
        return await self._ask("get_metric_totals", q.Groups(max_groups), q.Answer[MetricTotals])

    async def _ask(self, question: str, arguments: msgspec.Struct, answer: type[q.Answer[_T]]) -> _T:
        reply = await self._exchange.request(
            "POST",
            f"{q.READ_PATH}/{question}",
            body=msgspec.json.encode(arguments),
            headers={"Content-Type": "application/json"},
        )
        try:
            answered = msgspec.json.decode(reply.body, type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise other_form(self._exchange.server, *reply, error) from None
        if answered.protocol != PROTOCOL:
            raise other_protocol(self._exchange.server, answered.protocol)
        return answered.answer
