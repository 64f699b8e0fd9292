"""``GET /v1/budgets`` and ``GET /v1/alerts``: what is left of budgets, and what alerts are doing."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.server.http.operation import NOT_FOUND, Operation
from chainlog_async.server.http.parameters import ParsedParameters, integer_parameter
from chainlog_async.server.http.responses import ApiError, json_reply
from chainlog_async.server.http.rights import rights_of
from chainlog_async.server.routes.stats import NAME
from chainlog_async.settings import BudgetSettings
from chainlog_async.usage.alerts import AlertReport
from chainlog_async.usage.budget import BudgetStatus

HISTORY = integer_parameter("limit", "Maximum number of episodes in `history`.", minimum=1, maximum=1_000, default=20)


class BudgetsReply(msgspec.Struct, frozen=True):
    """Every budget."""

    budgets: list[BudgetStatus]
    """In the order of the settings."""


class BudgetEndpoints:
    """The routes of budgets and alerts. A key that sees one caller sees the budgets of that caller, and no alerts."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        return [
            Operation("/v1/budgets", self.get_budgets, BudgetsReply, needs="read"),
            Operation(
                "/v1/budgets/{name:chainlog_name}",
                self.get_budget,
                BudgetStatus,
                (NAME,),
                needs="read",
                other_answers=NOT_FOUND,
            ),
            Operation(
                "/v1/alerts", self.get_alerts, AlertReport, (HISTORY,), needs="read_all", other_answers=NOT_FOUND
            ),
        ]

    async def get_budgets(self, request: Request, _parameters: ParsedParameters) -> Response:
        """What is spent and left of each budget in its present period."""
        return json_reply(BudgetsReply([await self._status(budget) for budget in self._visible(request)]))

    async def get_budget(self, request: Request, parameters: ParsedParameters) -> Response:
        """What is spent and left of one budget in its present period."""
        name = parameters[NAME]
        for budget in self._visible(request):
            if budget.name == name:
                return json_reply(await self._status(budget))
        raise ApiError(404, f"there is no budget {name[:60]!r}; GET /v1/budgets lists them", "not_found")

    async def get_alerts(self, _request: Request, parameters: ParsedParameters) -> Response:
        """The alerts of the settings, those that are firing, and the newest episodes, newest first.

        404 when the log is kept on another machine, whose service evaluates alerts.
        """
        if self._chainlog.settings.engine == "remote":
            raise ApiError(404, "alerts are evaluated where the log is kept; ask the service there", "not_found")
        return json_reply(await self._chainlog.alerts(limit=parameters[HISTORY]))

    def _visible(self, request: Request) -> list[BudgetSettings]:
        caller = rights_of(request).caller
        return [one for one in self._chainlog.settings.budgets if caller is None or one.caller == caller]

    async def _status(self, budget: BudgetSettings) -> BudgetStatus:
        return await self._chainlog.usage.get_budget(budget)
