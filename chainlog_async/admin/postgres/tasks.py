"""An operator's work on a log in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainlog_async.admin.tasks import AdminTasks
from chainlog_async.common.progress import Progress
from chainlog_async.entry.redaction import Redactor
from chainlog_async.storage.postgres.url import parse_url

from . import check, prune, rejected, reprice
from .prices import list_prices, set_prices, update_prices

if TYPE_CHECKING:
    from chainlog_async.admin.check import CheckReport
    from chainlog_async.admin.prices import PriceUpdate
    from chainlog_async.admin.prune import PruneLimits, PruneReport
    from chainlog_async.admin.rejected import DeletePlan, DeleteReport, RejectedEntry, RetryReport
    from chainlog_async.admin.reprice import RepricedModel
    from chainlog_async.prices.model import Price
    from chainlog_async.settings import Settings


class PostgresTasks(AdminTasks):
    """By the functions of this folder. Needs the rights of a writer; to check and to list, those of a reader."""

    def __init__(self, settings: Settings) -> None:
        self._url = parse_url("" if settings.db_url is None else settings.db_url.get_secret_value())
        self._patterns = settings.redact_patterns

    @property
    def wrong_totals_remedy(self) -> str:
        """See `AdminTasks`, as for every method here."""
        return "batches and totals change in one transaction, so look for who else changed these tables"

    async def check(self, *, quick: bool, on_progress: Progress) -> CheckReport:
        """One state of the log."""
        return await check.check(self._url, quick=quick, on_progress=on_progress)

    async def plan_pruning(self, limits: PruneLimits, now: int) -> PruneReport:
        """Changes nothing."""
        return await prune.plan_pruning(self._url, limits, now)

    async def prune(self, limits: PruneLimits, now: int, on_progress: Progress) -> PruneReport:
        """By days, and in small transactions."""
        return await prune.prune(self._url, limits, now, on_progress)

    async def list_rejected(self, limit: int) -> list[RejectedEntry]:
        """Newest first."""
        return await rejected.list_rejected(self._url, limit)

    async def retry_rejected(self, ids: Sequence[int] | None, on_progress: Progress) -> RetryReport:
        """Each a transaction."""
        return await rejected.retry_rejected(self._url, ids, Redactor(self._patterns), on_progress)

    async def plan_deletion(self, ids: Sequence[int]) -> DeletePlan:
        """Changes nothing."""
        return await rejected.plan_deletion(self._url, ids)

    async def delete_rejected(self, ids: Sequence[int]) -> DeleteReport:
        """In one transaction."""
        return await rejected.delete_rejected(self._url, ids)

    async def list_prices(self, provider_id: str | None, model: str | None) -> list[Price]:
        """In the order of names."""
        return await list_prices(self._url, provider_id, model)

    async def set_prices(self, prices: Sequence[Price]) -> None:
        """In one transaction."""
        await set_prices(self._url, prices)

    async def update_prices(self) -> PriceUpdate:
        """In one transaction."""
        return await update_prices(self._url)

    async def plan_repricing(self, since: int, on_progress: Progress) -> list[RepricedModel]:
        """Changes nothing."""
        return await reprice.plan_repricing(self._url, since, on_progress)

    async def reprice(self, since: int, on_progress: Progress) -> int:
        """In small transactions."""
        return await reprice.reprice(self._url, since, on_progress)
