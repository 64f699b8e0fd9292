"""The language of alerts: what a rule means, and what is said of one that means nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async.common.clock import DAY_MS, HOUR_MS
from chainlog_async.settings.alert_rule import METRICS, AlertRule, parse_rule

MIN_MS = 60_000


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("error_rate by provider > 20 % for 10m", AlertRule("error_rate", ">", 0.2, 10 * MIN_MS, "provider")),
        ("error_rate>20% for 10min", AlertRule("error_rate", ">", 0.2, 10 * MIN_MS)),
        (
            "refusal_rate by model >= 0.5 % for 1h30m",
            AlertRule("refusal_rate", ">=", 0.005, 90 * MIN_MS, "model"),
        ),
        ("latency_p95 by model > 8 s for 15m", AlertRule("latency_p95", ">", 8_000, 15 * MIN_MS, "model")),
        ("ttft_p50 > 800ms for 2h", AlertRule("ttft_p50", ">", 800, 2 * HOUR_MS)),
        ("cost by caller > 5 USD for 1d", AlertRule("cost", ">", 5, DAY_MS, "caller")),
        ("cost ≥ $0.25 for 1 h", AlertRule("cost", ">=", 0.25, HOUR_MS)),
        ("requests < 10 for 30m", AlertRule("requests", "<", 10, 30 * MIN_MS)),
        ("requests ≤ 10 for 30m", AlertRule("requests", "<=", 10, 30 * MIN_MS)),
        ("dropped > 0 for 5m", AlertRule("dropped", ">", 0, 5 * MIN_MS)),
        ("nothing logged for 15m", AlertRule("silence", ">=", 15 * MIN_MS, 15 * MIN_MS)),
        (
            "nothing logged where provider = groq for 15m",
            AlertRule("silence", ">=", 15 * MIN_MS, 15 * MIN_MS, where=(("provider", "groq"),)),
        ),
        (
            'error_rate by model where chain = fast and caller = "team > a" > 5 % for 1h',
            AlertRule("error_rate", ">", 0.05, HOUR_MS, "model", (("chain", "fast"), ("caller", "team > a"))),
        ),
        (
            'error_rate where caller = "" by model > 5 % for 1h',
            AlertRule("error_rate", ">", 0.05, HOUR_MS, "model", (("caller", ""),)),
        ),
        (
            "error_rate where model = meta/llama-3.1-8b:free > 5 % for 1h",
            AlertRule("error_rate", ">", 0.05, HOUR_MS, where=(("model", "meta/llama-3.1-8b:free"),)),
        ),
        ("budget team-a > 80 %", AlertRule("budget", ">", 0.8, 0, budget="team-a")),
        ('budget "team a" >= 100%', AlertRule("budget", ">=", 1.0, 0, budget="team a")),
    ],
)
def test_a_rule_means_what_it_says(text: str, rule: AlertRule) -> None:
    """Spaces do not matter, but between words; m is a minute."""
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must be a rule, such as: error_rate by provider > 20 % for 10m"),
        ("eror_rate > 20 % for 10m", "must have a metric, and 'eror_rate' is none; did you mean error_rate?"),
        ("latency > 8 s for 10m", "must have a metric, and 'latency' is none; did you mean latency_p99?"),
        ("nothin logged for 10m", "must have a metric, and 'nothin' is none; did you mean nothing logged?"),
        ("nothing loged for 10m", "must have logged after nothing, not 'loged'; did you mean logged?"),
        ("zzz > 1 for 1m", "must have a metric, and 'zzz' is none; give one of error_rate, refusal_rate, cost, "),
        (
            "error_rate by provder > 20 % for 10m",
            "must have a dimension, and 'provder' is none; did you mean provider?",
        ),
        ("error_rate by > 20 % for 10m", "must have a dimension, and '>' is none; give one of chain, provider, "),
        ("error_rate by", "must have a dimension after by"),
        (
            "error_rate wher model = a > 20 % for 1h",
            "must have > or < before the number, not 'wher'; did you mean where?",
        ),
        ("error_rate where model > 20 % for 1h", "must have = after model, not '>'"),
        ("error_rate where model = a and model = b > 2 % for 1h", "must name one model, not two"),
        ("error_rate by model where model = a > 2 % for 1h", "must not group by model when where names one model"),
        ("error_rate", "must have > or < before the number"),
        ("error_rate > a % for 1h", "must have a number after > or <, not 'a'"),
        ("error_rate > 20 for 10m", "must have a percentage for error_rate, such as 20 %"),
        ("error_rate > $20 for 10m", "must have a percentage for error_rate, such as 20 %"),
        ("latency_p95 > 8 for 10m", "must have a unit for latency_p95, ms, s or min, such as 8 s"),
        ("cost > 5 for 1h", "must have US dollars for cost, such as 5 USD"),
        ("cost > 5 EUR for 1h", "must have US dollars for cost, such as 5 USD"),
        ("requests < 5 % for 1h", "must have a plain number for requests, not 5 %"),
        ("error_rate > 20 %", "must say for how long, at the end; such as for 10m"),
        ("error_rate > 20 % fr 10m", "must say for how long, at the end; did you mean for?"),
        ("error_rate > 20 % for", "must have a duration after for, not ''; its units are m, ms, s, min, h, d, w, mo"),
        ("error_rate > 20 % for ten", "must have a duration after for, not 'ten'; its units are m, ms, s, min, "),
        ("error_rate > 20 % for 90d", "must have a duration from 1s to 31d after for, not 90d"),
        ("budget team-a > 80 % for 1h", "must end before 'for'"),
        ("error_rate where model = 4o > 2 % for 1h", "must have a model after model =, in double quotes if it begins"),
        ("budget", "must have a budget after budget"),
        ('error_rate where model = "a > 5 % for 1h', "a double quote is missing in "),
        ("refusal_rate by caller > 5 % for 1h", "must be by provider or model: refusals are counted by these"),
        ("dropped by model > 0 for 1h", "must not have by or where: dropped entries are counted together"),
        ("requests by provider < 1 for 1h", "must not group requests by provider with <: a provider without requests"),
    ],
)
def test_a_mistake_is_told_with_what_may_be_meant(text: str, problem: str) -> None:
    """Which word is wrong, and the most similar one, or all there are."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        parse_rule(text)


@given(
    st.lists(st.sampled_from([*METRICS, "by", "where", "for", "and", "=", ">", "20", "%", '"', "model", "10m", "é"]))
)
def test_any_text_is_a_rule_or_told_what_is_wrong(words: list[str]) -> None:
    """No text raises anything but a `ValueError` with a sentence."""
    try:
        parse_rule(" ".join(words))
    except ValueError as error:
        assert len(str(error)) > 10  # noqa: PT017  # most raise
