"""Bodies in every form that the standards of events and of JSON allow."""

from __future__ import annotations

import json

from tests.support.provider_bodies import (
    ANTHROPIC,
    ANTHROPIC_END,
    BROKEN,
    COUNTS,
    EVENTS,
    JSON,
    SHORT,
    Answer,
    chunk,
    completion,
    events_of,
    json_of,
)

ANSWERS: dict[str, Answer] = {
    "carriage returns": Answer(
        EVENTS,
        events_of(chunk(), chunk(None, "stop"), chunk(None, usage={"prompt_tokens": 9})).replace(b"\n", b"\r"),
        (9, None, None),
        model="m",
    ),
    "carriage returns and newlines": Answer(
        EVENTS,
        events_of(chunk(), chunk(None, "stop", usage={"prompt_tokens": 9})).replace(b"\n", b"\r\n"),
        (9, None, None),
        model="m",
    ),
    "a byte order mark": Answer(
        EVENTS, b"\xef\xbb\xbf" + events_of(chunk(None, "stop", usage={"prompt_tokens": 9})), (9, None, None), model="m"
    ),
    "comments, ids and retries": Answer(
        EVENTS,
        b": hello\n\nretry: 100\n\nid: 1\n" + events_of(chunk()) + b":\n\n" + events_of(chunk(None, "stop")),
        model="m",
    ),
    "data in several lines": Answer(
        EVENTS,
        b'data: {"model": "m", "choices": [{"finish_reason": "stop"}],\n'
        b'data:\ndata: "usage": {"prompt_tokens":\ndata: 9}}\n\n',
        (9, None, None),
        model="m",
    ),
    "no empty line at the end": Answer(EVENTS, events_of(chunk(None, "stop")).rstrip(), model="m"),
    "UTF-16": Answer(JSON, json.dumps(completion({"prompt_tokens": 9})).encode("utf-16"), (9, None, None), model="m"),
    "a byte order mark before JSON": Answer(
        JSON, b"\xef\xbb\xbf" + json_of(completion({"prompt_tokens": 9})), (9, None, None), model="m"
    ),
    "Anthropic, closed after its reason": Answer(
        EVENTS, events_of(*ANTHROPIC, ANTHROPIC_END[0]), COUNTS, model="claude"
    ),
    "Anthropic, closed before its reason": Answer(EVENTS, events_of(*ANTHROPIC), (9, None, None), SHORT, "claude"),
    "OpenAI, closed after its reason": Answer(EVENTS, events_of(chunk(), chunk(None, "length")), model="m"),
    "OpenAI, closed before its reason": Answer(EVENTS, events_of(chunk(), chunk()), failure=SHORT, model="m"),
    "a long event first": Answer(
        EVENTS,
        events_of({"type": "ping", "padding": "x" * 140_000}, chunk(), chunk()),
        failure=SHORT,
        model="m",
    ),
    "a long event alone": Answer(
        EVENTS,
        events_of(chunk("x" * 140_000, usage={"prompt_tokens": 9}), done=True),
        (9, None, None),
        model="m",
    ),
    "a long answer with what follows no JSON": Answer(
        JSON, json_of(completion({"prompt_tokens": 9}, padding="x" * 140_000)) + b"}", (9, None, None), BROKEN, "m"
    ),
    "a long answer that breaks off": Answer(
        JSON, json_of(completion({"prompt_tokens": 9}, padding="x" * 140_000))[:-1], (9, None, None), BROKEN, "m"
    ),
    "a long answer with escapes in its keys": Answer(
        JSON,
        b'{"a":"' + b"x" * 140_000 + b'","mo\\u0064el":"m","us\\u0061ge":{"prompt_tokens":9}}',
        (9, None, None),
        model="m",
    ),
    "an array with what is no JSON": Answer(
        JSON, b'[{"model":"m","usage":{"prompt_tokens":9}},{x}]', (9, None, None), BROKEN, "m"
    ),
    "codes that are no errors": Answer(
        JSON,
        json_of(completion({"prompt_tokens": 9}, error_code="0", base_resp={"status_code": "0"}, success=True)),
        (9, None, None),
        model="m",
    ),
    "choices without an error": Answer(
        JSON,
        json_of({"model": "m", "choices": [{"finish_reason": "stop", "error": {"code": None, "message": ""}}]}),
        model="m",
    ),
}
