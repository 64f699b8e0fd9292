"""Secrets never reach the file."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlog_async.entry.line import encode_line
from chainlog_async.entry.model import MAX_ERROR_CHARS
from chainlog_async.entry.redaction import PATTERNS, REDACTED, Redactor
from chainlog_async.entry.sanitize import sanitize_message
from tests.support.entries import entry

SECRETS = [
    "sk-abcdefghij0123456789",
    "sk-proj-Ab_cd-ef0123456789",
    "sk-ant-api03-abcdefghijklmnop",
    "sk-or-v1-0123456789abcdef",
    "gsk_0123456789abcdefghij",
    "AIzaSyA0123456789abcdefghijklmnopqrstu",
    "xai-0123456789abcdef",
    "hf_abcdefghijklmnop",
    "pplx-0123456789abcdef",
    "nvapi-0123456789abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_providers_key_is_blotted_out(secret: str) -> None:
    """The key of every provider that we know is blotted out, and the text around it stays."""
    assert Redactor()(f"Incorrect API key provided: {secret}, see the docs") == (
        f"Incorrect API key provided: {REDACTED}, see the docs"
    )


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer abc123def456", f"Authorization: Bearer {REDACTED}"),
        ("authorization: bearer abc123def456", f"authorization: bearer {REDACTED}"),
        ("POST https://user:hunter2@host/v1 failed", f"POST https://{REDACTED}@host/v1 failed"),
        ("GET https://host/v1?key=abcdef123&x=1", f"GET https://host/v1?key={REDACTED}&x=1"),
        ('{"api_key": "abcdef123"}', f'{{"api_key": "{REDACTED}"}}'),
        ('{"api_key":"abcdef1234567890"}', f'{{"api_key":"{REDACTED}"}}'),
        ("{'api_key': 'abcdef1234567890'}", f"{{'api_key': '{REDACTED}'}}"),
        ("X-Api-Key:abcdef123", f"X-Api-Key:{REDACTED}"),
        ("redis://:hunter2@host/0", f"redis://{REDACTED}@host/0"),
        ("https://token123@host/", f"https://{REDACTED}@host/"),
        ("postgres://user:p/w@host", f"postgres://{REDACTED}@host"),
        ("Bearer  abc123def456", f"Bearer {REDACTED}"),
        ("x-api-key: abcdef123", f"x-api-key: {REDACTED}"),
    ],
)
def test_a_secret_is_known_by_its_place(text: str, clean: str) -> None:
    """Bearer tokens, passwords in URLs and values of key parameters are blotted out, whatever they look like."""
    assert Redactor()(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        'All providers exhausted in chain "doomed". Tried: prov-a/m-a (429_rate_limit), prov-c/m-c (500: boom)',
        "fetch failed: ECONNREFUSED 127.0.0.1:9",
        "task-force desk-bound risk-averse",
        "model llama-3.1-8b-instant is overloaded, retry in 12.5s",
    ],
)
def test_an_ordinary_message_stays_as_it_is(text: str) -> None:
    """Error messages without a secret are kept to the letter."""
    assert Redactor()(text) == text


def test_a_pattern_of_ones_own_is_blotted_out_too() -> None:
    """`redact_patterns` adds to what is blotted out."""
    redact = Redactor(("corp-[0-9]+",))
    assert redact("key corp-42 and sk-0123456789") == f"key {REDACTED} and {REDACTED}"
    assert redact("by corp-42") == f"by {REDACTED}"


@settings(max_examples=50)
@pytest.mark.parametrize("pattern", PATTERNS)
@given(data=st.data())
def test_whatever_a_pattern_matches_has_one_of_its_hints(pattern: str, data: st.DataObject) -> None:
    """So a text without any of them is left alone: in capitals as well, and with a long s or a Kelvin sign."""
    secret = data.draw(st.from_regex(pattern))
    assert any(hint in secret.casefold() for hint in PATTERNS[pattern])
    assert REDACTED in Redactor()(secret)


def test_no_secret_is_in_the_line() -> None:
    """What would go into the journal and the database has no secret in it."""
    line = encode_line(entry(http_status=401, error_message=f"bad key {SECRETS[0]}"))
    assert SECRETS[0].encode() not in line
    assert REDACTED.encode() in line


def test_a_secret_across_the_cut_is_blotted_out() -> None:
    """A key that begins just before the place where a long message is cut does not leave its beginning behind."""
    message = "x" * (MAX_ERROR_CHARS - 10) + " " + SECRETS[1] + "y" * MAX_ERROR_CHARS
    assert b"sk-proj" not in encode_line(entry(error_message=message))


@pytest.mark.parametrize("secret", ["https://user:s3cret-password@host", "AKIAIOSFODNN7EXAMPLE", "gsk_0123456789"])
def test_half_a_secret_is_not_kept_where_others_made_room_for_it(secret: str) -> None:
    """However much is blotted out before it, what is left of a secret that was cut is not told."""
    blotted = f"Bearer {'a' * 5_000} "
    for place in range(1, len(secret)):
        padding = "x" * (2 * MAX_ERROR_CHARS - len(blotted) - 1 - place)
        message = sanitize_message(f"{blotted}{padding} {secret} {'y' * 100}", Redactor(), "error_message")
        assert message.startswith(f"Bearer {REDACTED} x")
        assert message.endswith("x…")


def test_a_hostile_message_takes_no_time() -> None:
    """A megabyte of almost-secrets is looked at for milliseconds, not for minutes."""
    started = time.process_time()
    for piece in ("sk-", "bearer ", "://a:", "eyJ", "api_key=", "a@:/"):
        encode_line(entry(error_message=piece * (1_000_000 // len(piece))))
    assert time.process_time() - started < 5
