"""Requests from what LiteLLM's `generic_api` callback posts, so from a LiteLLM on any machine: `PostIntake`.

Does not import LiteLLM.
"""

from __future__ import annotations

from chainlog_async.chainlog import ChainLog

from ._litellm.attempt import ReportedAttempt
from ._litellm.entry import is_logged
from ._litellm.posted import HOLD_S, PostedJoin, attempt_of
from .held_intake import HeldIntake

__all__ = ["PostIntake", "ReportedAttempt", "attempt_of"]


class PostIntake(HeldIntake[ReportedAttempt]):
    """Takes attempts in, and holds those that failed until the next one should have come."""

    def __init__(self, chainlog: ChainLog) -> None:
        super().__init__(
            chainlog,
            PostedJoin(),
            ReportedAttempt,
            noun="litellm",
            rotate_s=HOLD_S,
            end_ms=lambda attempt: round(attempt.ended_s * 1000),
            accepts=is_logged,
        )
