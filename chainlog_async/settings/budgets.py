"""Budgets: what may be spent in each hour, day, week or month."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chainlog_async.common.periods import Period
from chainlog_async.common.zones import zone_of

Name = Annotated[str, Field(min_length=1, max_length=200)]


def _zone(name: str) -> str:
    try:
        zone_of(name)
    except ValueError as error:
        raise ValueError(f"must be the name of a time zone: {error}") from None
    return name


Zone = Annotated[str, AfterValidator(_zone)]


class BudgetSettings(BaseModel):
    """What the requests of one caller, provider, model or chain, or all of them, may cost in a period."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: Name
    """What it is asked for by."""
    limit_usd: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    """In US dollars."""
    per: Period = "day"
    """When it starts anew: on the hour, at midnight, on Monday, or on the first of the month."""
    zone: Zone = "UTC"
    """The time zone whose clock that is."""
    caller: str | None = None
    """Counts only requests that match every name given; the caller "" means requests without one."""
    provider: str | None = None
    """Counts only requests that this provider answered, or was tried last for."""
    model: str | None = None
    """Counts only requests of this model."""
    chain: str | None = None
    """Counts only requests of this chain."""


def _with_names(budgets: tuple[BudgetSettings, ...]) -> tuple[BudgetSettings, ...]:
    """Refuses two budgets of one name."""
    twice = [name for name, count in Counter(budget.name for budget in budgets).items() if count > 1]
    if twice:
        raise ValueError(f"must each have a name of its own: {twice[0]!r} is there twice")
    return budgets


Budgets = Annotated[tuple[BudgetSettings, ...], AfterValidator(_with_names)]
