"""The language of alerts: ``error_rate by provider > 20 % for 10m``.

    METRIC [by DIMENSION] [where DIMENSION = NAME [and …]] > NUMBER [UNIT] for DURATION
    nothing logged [where …] for DURATION
    budget NAME > NUMBER %

A name with spaces or signs stands in double quotes. docs/how-to/alerts.md has the metrics and examples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args

from chainlog_async.common.clock import DAY_MS
from chainlog_async.common.spelling import did_you_mean
from chainlog_async.common.units import DURATION_UNITS, parse_duration

Dimension: TypeAlias = Literal["chain", "provider", "model", "caller"]
Metric: TypeAlias = Literal[
    "error_rate",
    "refusal_rate",
    "cost",
    "requests",
    "latency_p50",
    "latency_p90",
    "latency_p95",
    "latency_p99",
    "ttft_p50",
    "ttft_p90",
    "ttft_p95",
    "ttft_p99",
    "dropped",
    "silence",
    "budget",
]
Comparison: TypeAlias = Literal[">", ">=", "<", "<="]
Unit: TypeAlias = Literal["%", "ms", "USD", ""]

DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
METRICS: Final[tuple[str, ...]] = tuple(name for name in get_args(Metric) if name not in {"silence", "budget"})
STARTS: Final = (*METRICS, "nothing logged", "budget")
"""What a rule may begin with."""
RATES: Final = frozenset({"error_rate", "refusal_rate"})
MAX_WINDOW_MS: Final = 31 * DAY_MS

_COMPARISONS: Final[dict[str, Comparison]] = {">": ">", ">=": ">=", "≥": ">=", "<": "<", "<=": "<=", "≤": "<="}
_MS_OF_UNIT: Final = {"ms": 1, "s": 1_000, "min": 60_000}
_TOKEN: Final = re.compile(
    r'\s*(?:"(?P<quoted>[^"]*)"|(?P<sign>>=|<=|[<>=≥≤])|(?P<number>\$?\d+(?:\.\d+)?)|(?P<word>[^\s"<>=≥≤$%]+)|(?P<unit>[$%]))'
)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A rule as it is evaluated."""

    metric: Metric
    comparison: Comparison
    threshold: float
    """In `unit`; a rate from 0 to 1."""
    window_ms: int
    """The time that is looked at, in ms; 0 for a budget."""
    by: Dimension | None = None
    where: tuple[tuple[Dimension, str], ...] = ()
    budget: str | None = None
    """The name of the budget, if it is about one."""

    @property
    def hold_ms(self) -> int:
        """For how long it must not be met before it clears, in ms, so that it does not fire again and again."""
        return 0 if self.metric == "silence" else self.window_ms

    @property
    def unit(self) -> Unit:
        """What the value is measured in."""
        if self.metric in RATES or self.metric == "budget":
            return "%"
        if self.metric == "silence" or self.metric.startswith(("latency", "ttft")):
            return "ms"
        return "USD" if self.metric == "cost" else ""

    def is_met(self, value: float) -> bool:
        """Whether a value is one to be alerted of."""
        match self.comparison:
            case ">":
                return value > self.threshold
            case ">=":
                return value >= self.threshold
            case "<":
                return value < self.threshold
            case "<=":
                return value <= self.threshold


@lru_cache(maxsize=1_000)
def parse_rule(text: str) -> AlertRule:
    """Reads a rule, once. Raises `ValueError`, which says what is wrong and what may be meant."""
    return _Parser(text).rule()


class _Parser:
    """Takes one token after the other; each method takes what it is named after."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None:
                raise ValueError(f"a double quote is missing in {text[place:].strip()[:40]!r}")
            kind = found.lastgroup or ""
            self._tokens.append((kind, found[kind]))
            place = found.end()
        self._next = 0

    def rule(self) -> AlertRule:
        if self._peek() is None:
            raise ValueError("must be a rule, such as: error_rate by provider > 20 % for 10m")
        if self._skip("nothing"):
            self._require("logged", "after nothing")
            rule = self._silence()
        elif self._skip("budget"):
            rule = self._budget()
        else:
            rule = self._comparison(self._metric())
        if (rest := self._peek()) is not None:
            raise ValueError(f"must end before {rest!r}")
        return rule

    def _silence(self) -> AlertRule:
        where = self._where()
        window = self._window()
        return AlertRule("silence", ">=", window, window, where=where)

    def _budget(self) -> AlertRule:
        name = self._name("a budget", "after budget")
        comparison = self._sign()
        return AlertRule("budget", comparison, self._threshold("budget"), 0, budget=name)

    def _comparison(self, metric: Metric) -> AlertRule:
        by = self._dimension("after by") if self._skip("by") else None
        where = self._where()
        if by is None and self._skip("by"):
            by = self._dimension("after by")
        comparison = self._sign()
        threshold = self._threshold(metric)
        rule = AlertRule(metric, comparison, threshold, self._window(), by, where)
        _check(rule)
        return rule

    def _metric(self) -> Metric:
        word = self._take("a metric", "at the beginning")
        for metric in get_args(Metric):
            if word == metric and metric in METRICS:
                known: Metric = metric
                return known
        raise _unknown(word, "metric", STARTS)

    def _dimension(self, place: str) -> Dimension:
        word = self._take("a dimension", place)
        for dimension in DIMENSIONS:
            if word == dimension:
                return dimension
        raise _unknown(word, "dimension", DIMENSIONS)

    def _where(self) -> tuple[tuple[Dimension, str], ...]:
        filters: list[tuple[Dimension, str]] = []
        if not self._skip("where"):
            return ()
        while True:
            dimension = self._dimension("after where")
            self._require("=", f"after {dimension}")
            if dimension in dict(filters):
                raise ValueError(f"must name one {dimension}, not two")
            filters.append((dimension, self._name(f"a {dimension}", f"after {dimension} =")))
            if not self._skip("and"):
                return tuple(filters)

    def _sign(self) -> Comparison:
        word = self._take("> or <", "before the number")
        if word not in _COMPARISONS:
            near = did_you_mean(word, ["by", "where"])
            raise ValueError(
                f"must have > or < before the number, not {word!r}{f'; did you mean {near}?' if near else ''}"
            )
        return _COMPARISONS[word]

    def _threshold(self, metric: Metric) -> float:
        kind, text = self._tokens[self._next] if self._peek() is not None else ("", "")
        if kind != "number":
            raise ValueError(f"must have a number after > or <, not {text or 'nothing'!r}")
        self._next += 1
        number, is_money = float(text.removeprefix("$")), text.startswith("$")
        unit = self._unit()
        if metric in RATES or metric == "budget":
            if unit != "%" or is_money:
                raise ValueError(f"must have a percentage for {metric}, such as {number:g} %")
            return number / 100
        if metric.startswith(("latency", "ttft")):
            if unit not in _MS_OF_UNIT or is_money:
                raise ValueError(f"must have a unit for {metric}, ms, s or min, such as {number:g} s")
            return number * _MS_OF_UNIT[unit]
        if metric == "cost":
            if is_money is (unit.upper() == "USD") or unit.upper() not in {"", "USD"}:
                raise ValueError(f"must have US dollars for cost, such as {number:g} USD")
            return number
        if unit or is_money:
            raise ValueError(f"must have a plain number for {metric}, not {text} {unit}".rstrip())
        return number

    def _unit(self) -> str:
        word = self._peek()
        if word is None or word == "for":
            return ""
        self._next += 1
        return word

    def _window(self) -> int:
        if not self._skip("for"):
            near = did_you_mean(self._peek() or "", ["for"])
            remedy = "did you mean for?" if near else "such as for 10m"
            raise ValueError(f"must say for how long, at the end; {remedy}")
        words = []
        while (word := self._peek()) is not None:
            words.append(word)
            self._next += 1
        text = "".join(words)
        try:
            # A month makes no sense here, so an m is a minute.
            window = parse_duration(re.sub(r"(?<=\d)m(?=\d|$)", "min", text))
        except ValueError:
            units = ", ".join(("m", *DURATION_UNITS))
            raise ValueError(f"must have a duration after for, not {text!r}; its units are {units}") from None
        if not 1_000 <= window <= MAX_WINDOW_MS:
            raise ValueError(f"must have a duration from 1s to 31d after for, not {text}")
        return window

    def _name(self, what: str, place: str) -> str:
        if self._peek() is not None and self._tokens[self._next][0] not in {"word", "quoted"}:
            raise ValueError(f"must have {what} {place}, in double quotes if it begins with a digit or has signs")
        return self._take(what, place)

    def _take(self, what: str, place: str) -> str:
        word = self._peek()
        if word is None:
            raise ValueError(f"must have {what} {place}")
        self._next += 1
        return word

    def _require(self, word: str, place: str) -> None:
        if not self._skip(word):
            found = self._peek()
            near = did_you_mean(found or "", [word])
            raise ValueError(
                f"must have {word} {place}, not {found or 'nothing'!r}{f'; did you mean {near}?' if near else ''}"
            )

    def _skip(self, word: str) -> bool:
        if self._peek() != word or self._tokens[self._next][0] == "quoted":
            return False
        self._next += 1
        return True

    def _peek(self) -> str | None:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else None


def _check(rule: AlertRule) -> None:
    names = {name for name, _ in rule.where} | ({rule.by} if rule.by else set())
    if rule.metric == "refusal_rate" and not names <= {"provider", "model"}:
        raise ValueError("must be by provider or model: refusals are counted by these, for every attempt")
    if rule.metric == "dropped" and names:
        raise ValueError("must not have by or where: dropped entries are counted together")
    if rule.by and rule.comparison.startswith("<") and rule.metric in {"requests", "cost"}:
        raise ValueError(
            f"must not group {rule.metric} by {rule.by} with {rule.comparison}: a {rule.by} without requests is not "
            f"seen; name it, such as where {rule.by} = NAME"
        )
    if rule.by and rule.by in dict(rule.where):
        raise ValueError(f"must not group by {rule.by} when where names one {rule.by}")


def _unknown(word: str, kind: str, known: tuple[str, ...]) -> ValueError:
    near = did_you_mean(word, known)
    remedy = f"did you mean {near}?" if near else f"give one of {', '.join(known)}"
    return ValueError(f"must have a {kind}, and {word[:40]!r} is none; {remedy}")
