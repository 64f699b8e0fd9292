"""What an operator does to a log, whichever engine keeps it; `admin.engines` chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from chainlog_async.common.progress import Progress

if TYPE_CHECKING:
    from chainlog_async.prices.model import Price

    from .check import CheckReport
    from .prices import PriceUpdate
    from .prune import PruneLimits, PruneReport
    from .rejected import DeletePlan, DeleteReport, RejectedEntry, RetryReport
    from .reprice import RepricedModel


class AdminTasks(Protocol):
    """One log. Each method opens it and closes it again, and raises `DatabaseError` when it cannot be used."""

    @property
    def wrong_totals_remedy(self) -> str:
        """What to do about wrong totals."""

    async def check(self, *, quick: bool, on_progress: Progress) -> CheckReport:
        """See `check.check_database`."""

    async def plan_pruning(self, limits: PruneLimits, now: int) -> PruneReport:
        """See `prune.plan_pruning`."""

    async def prune(self, limits: PruneLimits, now: int, on_progress: Progress) -> PruneReport:
        """See `prune.prune_database`."""

    async def list_rejected(self, limit: int) -> list[RejectedEntry]:
        """See `rejected.list_rejected`."""

    async def retry_rejected(self, ids: Sequence[int] | None, on_progress: Progress) -> RetryReport:
        """See `rejected.retry_rejected`; redacts by the settings."""

    async def plan_deletion(self, ids: Sequence[int]) -> DeletePlan:
        """See `rejected.plan_deletion`."""

    async def delete_rejected(self, ids: Sequence[int]) -> DeleteReport:
        """See `rejected.delete_rejected`."""

    async def list_prices(self, provider_id: str | None, model: str | None) -> list[Price]:
        """See `prices.list_prices`."""

    async def set_prices(self, prices: Sequence[Price]) -> None:
        """See `prices.set_prices`."""

    async def update_prices(self) -> PriceUpdate:
        """See `prices.update_prices`."""

    async def plan_repricing(self, since: int, on_progress: Progress) -> list[RepricedModel]:
        """See `reprice.plan_repricing`."""

    async def reprice(self, since: int, on_progress: Progress) -> int:
        """See `reprice.reprice`."""
