"""What each provider answers is read as its documentation says, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlog_async.integrations._asgi.messages import ObservedResponse
from chainlog_async.provider_responses.long_document import MAX_DOCUMENT_BYTES
from tests.support.effort import tries
from tests.support.provider_answers import ANSWERS
from tests.support.provider_bodies import AWS, EVENTS, JSON, LINES, Answer

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


FRAGMENTS = st.sampled_from(
    [
        b"\n", b"\n\n", b"\r", b"\r\n", b" ", b"data:", b"data: [DONE]", b"event: error", b": x", b"\xef\xbb\xbf",
        b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"1", b"null", b"{}", b"[{", b"}]", b"x", b"\xff", b"\x00",
        b'"model":"m"', b'"usage":{"prompt_tokens":9}', b'"response":{', b'"choices":[{"delta":{"content":"Hi"}}]',
        b'{"choices":[{"delta":{"content":"Hi"}}]}', b'{"done":true,"eval_count":3}', b'{"error":"no"}',
        b'"a":"' + b"x" * 5_000 + b'"', b'"' + b"\\" * 4_097, b"y" * (MAX_DOCUMENT_BYTES - 20),
    ]
)  # fmt: skip


@settings(max_examples=tries(60))
@given(
    st.sampled_from([JSON, EVENTS, LINES, AWS]),
    st.lists(FRAGMENTS, max_size=25),
    st.lists(st.integers(min_value=0, max_value=MAX_DOCUMENT_BYTES * 2), max_size=8),
)
def test_whatever_comes_is_read_alike_however_it_is_cut(
    media_type: str, pieces: list[bytes], places: list[int]
) -> None:
    """Also what no provider sends, and around the length from which only a part is kept."""
    body = b"".join(pieces)
    ends = sorted(place % (len(body) + 1) for place in places)
    parts = [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]
    assert read(media_type, *parts) == read(media_type, body)
