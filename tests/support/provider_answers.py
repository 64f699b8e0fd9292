"""Answers in the shapes that providers document, with what is read of each."""

from __future__ import annotations

from tests.support import answers_with_usage, cloud_answers, event_streams, failing_answers
from tests.support.provider_bodies import Answer

ANSWERS: dict[str, Answer] = (
    cloud_answers.ANSWERS | failing_answers.ANSWERS | answers_with_usage.ANSWERS | event_streams.ANSWERS
)
