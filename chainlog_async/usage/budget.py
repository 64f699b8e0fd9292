"""What is left of a budget."""

from __future__ import annotations

import msgspec

from chainlog_async.common.periods import Period


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A budget in the present period: what the requests that are in the database have cost."""

    name: str
    limit_usd: float
    """What may be spent in a period, in US dollars."""
    spent_usd: float
    """The exact sum of what is known, in US dollars; a request counts at its timestamp."""
    left_usd: float
    """What of the limit is left; 0 when more was spent."""
    per: Period
    zone: str
    """The time zone in which periods begin."""
    starts_at: int
    """Start of the period, in ms since the epoch, UTC."""
    resets_at: int
    """End of the period, when the next one begins with nothing spent."""

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.spent_usd >= self.limit_usd
