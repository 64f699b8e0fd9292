"""An operator's work on a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainlog_async.common.progress import Progress
from chainlog_async.entry.redaction import Redactor

from .check import CheckReport, check_database
from .prices import PriceUpdate, list_prices, set_prices, update_prices
from .prune import PruneLimits, PruneReport, plan_pruning, prune_database
from .rejected import (
    DeletePlan,
    DeleteReport,
    RejectedEntry,
    RetryReport,
    delete_rejected,
    list_rejected,
    plan_deletion,
    retry_rejected,
)
from .reprice import RepricedModel, plan_repricing, reprice
from .tasks import AdminTasks

if TYPE_CHECKING:
    from chainlog_async.prices.model import Price
    from chainlog_async.settings import Settings


class SqliteTasks(AdminTasks):
    """By the functions of this package, each of which is described there."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.db_path
        self._timeout = settings.busy_timeout_ms
        self._patterns = settings.redact_patterns

    @property
    def wrong_totals_remedy(self) -> str:
        """See `AdminTasks`, as for every method here."""
        return "chainlog rebuild corrects them where the requests are still stored"

    async def check(self, *, quick: bool, on_progress: Progress) -> CheckReport:
        """One state of the file."""
        return await check_database(self._path, quick=quick, busy_timeout_ms=self._timeout, on_progress=on_progress)

    async def plan_pruning(self, limits: PruneLimits, now: int) -> PruneReport:
        """Changes nothing."""
        return await plan_pruning(self._path, limits, now=now, busy_timeout_ms=self._timeout)

    async def prune(self, limits: PruneLimits, now: int, on_progress: Progress) -> PruneReport:
        """In small transactions."""
        return await prune_database(self._path, limits, now=now, busy_timeout_ms=self._timeout, on_progress=on_progress)

    async def list_rejected(self, limit: int) -> list[RejectedEntry]:
        """Newest first."""
        return await list_rejected(self._path, limit, busy_timeout_ms=self._timeout)

    async def retry_rejected(self, ids: Sequence[int] | None, on_progress: Progress) -> RetryReport:
        """Each a transaction."""
        return await retry_rejected(
            self._path, ids, redact=Redactor(self._patterns), busy_timeout_ms=self._timeout, on_progress=on_progress
        )

    async def plan_deletion(self, ids: Sequence[int]) -> DeletePlan:
        """Changes nothing."""
        return await plan_deletion(self._path, ids, busy_timeout_ms=self._timeout)

    async def delete_rejected(self, ids: Sequence[int]) -> DeleteReport:
        """In one transaction."""
        return await delete_rejected(self._path, ids, busy_timeout_ms=self._timeout)

    async def list_prices(self, provider_id: str | None, model: str | None) -> list[Price]:
        """In the order of names."""
        return await list_prices(self._path, provider_id, model, busy_timeout_ms=self._timeout)

    async def set_prices(self, prices: Sequence[Price]) -> None:
        """In one transaction."""
        await set_prices(self._path, prices, busy_timeout_ms=self._timeout)

    async def update_prices(self) -> PriceUpdate:
        """In one transaction."""
        return await update_prices(self._path, busy_timeout_ms=self._timeout)

    async def plan_repricing(self, since: int, on_progress: Progress) -> list[RepricedModel]:
        """Changes nothing."""
        return await plan_repricing(self._path, since, busy_timeout_ms=self._timeout, on_progress=on_progress)

    async def reprice(self, since: int, on_progress: Progress) -> int:
        """In small transactions."""
        return await reprice(self._path, since, busy_timeout_ms=self._timeout, on_progress=on_progress)
