"""What each provider answers is read as its documentation says, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async.integrations._asgi.messages import ObservedResponse
from tests.support.provider_answers import ANSWERS
from tests.support.provider_bodies import Answer

SHORT_ANSWERS = [name for name, answer in ANSWERS.items() if len(answer.body) < 1_000]


def read(media_type: str, *parts: bytes) -> tuple[object, ...]:
    """What is read of a body that comes in these parts."""
    answered = ObservedResponse()
    answered.note({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media_type.encode())]})
    for part in parts:
        answered.note({"type": "http.response.body", "body": part, "more_body": True})
    assert answered.reader is not None
    answered.reader.finish()
    usage = answered.reader.usage()
    tokens = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
    return tokens, answered.reader.failure, answered.reader.model, answered.is_stream, answered.reader.has_content


def expected(answer: Answer) -> tuple[object, ...]:
    """What a test compares with the first of what `read` returns."""
    return answer.tokens, answer.failure, answer.model


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_as_its_provider_means_it(name: str) -> None:
    """Tokens, failure and model; whole, and in pieces of a few sizes."""
    answer = ANSWERS[name]
    whole = read(answer.media_type, answer.body)
    assert whole[:3] == expected(answer)
    for size in (7, 1_024, 65_536):
        if len(answer.body) < 2_000 * size:
            parts = [answer.body[start : start + size] for start in range(0, len(answer.body), size)]
            assert read(answer.media_type, *parts) == whole


@pytest.mark.parametrize("name", SHORT_ANSWERS)
def test_no_border_between_two_chunks_matters(name: str) -> None:
    """An answer that is cut in two, at any byte, is read as the whole is."""
    answer = ANSWERS[name]
    whole = read(answer.media_type, answer.body)
    for place in range(len(answer.body)):
        assert read(answer.media_type, answer.body[:place], answer.body[place:]) == whole


@given(st.sampled_from(SHORT_ANSWERS), st.lists(st.integers(min_value=0, max_value=1_500), max_size=12))
def test_no_borders_between_chunks_matter(name: str, places: list[int]) -> None:
    """An answer that is cut at any bytes, one chunk empty or not, is read as the whole is."""
    answer = ANSWERS[name]
    ends = sorted(min(place, len(answer.body)) for place in places)
    parts = [answer.body[start:end] for start, end in zip([0, *ends], [*ends, len(answer.body)], strict=True)]
    assert read(answer.media_type, *parts) == read(answer.media_type, answer.body)
