"""What is measured for a rule, and for which groups the rule is met."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from chainlog_async.settings.alert_rule import RATES, AlertRule
from chainlog_async.usage.query import MAX_GROUPS, UsageFilter, UsageQuery
from chainlog_async.usage.time_window import Window

if TYPE_CHECKING:
    from chainlog_async.settings import AlertSettings, BudgetSettings
    from chainlog_async.storage.base import AlertStates
    from chainlog_async.usage.points import UsagePoint
    from chainlog_async.usage_aggregator import UsageAggregator

Values = dict[str, float]
"""What was measured, by group: "" for a rule that does not group. A group of which nothing is known is not in it."""


class Conditions:
    """Asks the log what rules are about. Each answer costs the same in a log of any size."""

    def __init__(self, usage: UsageAggregator, states: AlertStates, budgets: tuple[BudgetSettings, ...]) -> None:
        self._usage = usage
        self._states = states
        self._budgets = {budget.name: budget for budget in budgets}

    async def met(self, alert: AlertSettings, now: int) -> Values:
        """The groups for which the rule is met, with what was measured. Raises `DatabaseError`."""
        rule = alert.rule
        values = await self._measure(rule, now, alert.min_requests)
        return {group: value for group, value in values.items() if rule.is_met(value)}

    async def _measure(self, rule: AlertRule, now: int, at_least: int) -> Values:
        match rule.metric:
            case "budget":
                status = await self._usage.get_budget(self._budgets[rule.budget or ""], at=now)
                return {"": status.spent_usd / status.limit_usd}
            case "dropped":
                return {"": float(await self._states.dropped_since(now - rule.window_ms))}
            case "silence":
                return await self._silence(rule, now)
            case "refusal_rate":
                return await self._refusals(rule, now, at_least)
            case "error_rate" | "requests" | "cost":
                return await self._usage_values(rule, now, at_least)
            case _:
                return await self._percentiles(rule, now, at_least)

    async def _usage_values(self, rule: AlertRule, now: int, at_least: int) -> Values:
        points = [point for point in await self._usage.get_usage(_query(rule, now)) if not point.other]
        if rule.by is None and not points and rule.metric not in RATES:
            return {"": 0.0}
        return {
            point.name or "": _value(rule, point)
            for point in points
            if rule.metric not in RATES or point.requests >= at_least
        }

    async def _percentiles(self, rule: AlertRule, now: int, at_least: int) -> Values:
        field, _, percentile = rule.metric.partition("_")
        values: Values = {}
        for point in await self._usage.get_latency(_query(rule, now)):
            value = getattr(point.latency_ms if field == "latency" else point.ttft_ms, percentile)
            if not point.other and point.requests >= at_least and value is not None:
                values[point.name or ""] = float(value)
        return values

    async def _refusals(self, rule: AlertRule, now: int, at_least: int) -> Values:
        where = dict(rule.where)
        attempts: dict[str, int] = defaultdict(int)
        refusals: dict[str, int] = defaultdict(int)
        for health in await self._usage.get_provider_health(_window(rule, now)):
            names = {"provider": health.provider_id, "model": health.model}
            if all(names[dimension] == name for dimension, name in where.items()):
                group = names[rule.by] if rule.by is not None else ""
                attempts[group] += health.attempts
                refusals[group] += health.rate_limited
        return {group: refusals[group] / count for group, count in attempts.items() if count >= at_least}

    async def _silence(self, rule: AlertRule, now: int) -> Values:
        """For how long nothing was logged, in ms; nothing is known of a log in which there never was anything."""
        if not rule.where:
            newest = await self._usage.get_recent_requests(1)
            return {"": float(now - newest[0].timestamp)} if newest else {}
        points = await self._usage.get_usage(_query(rule, now))
        return {} if points else {"": float(rule.window_ms)}


def _value(rule: AlertRule, point: UsagePoint) -> float:
    match rule.metric:
        case "requests":
            return float(point.requests)
        case "cost":
            return point.cost_usd
        case _:
            return point.errors / point.requests


def _window(rule: AlertRule, now: int) -> Window:
    # Widened to whole quarters of an hour, for which sums are kept.
    return Window(start=max(now - rule.window_ms, 0), end=now + 1)


def _query(rule: AlertRule, now: int) -> UsageQuery:
    return UsageQuery(
        window=_window(rule, now),
        by=rule.by,
        where=msgspec.convert(dict(rule.where), UsageFilter),
        max_groups=MAX_GROUPS,
    )
