"""Secrets never reach the file."""

from __future__ import annotations

import re
import tracemalloc

import pytest

from chainlog_async.entry.line import encode_line
from chainlog_async.entry.model import MAX_ERROR_CHARS
from chainlog_async.entry.redaction import MAX_REMEMBERED_CHARS, MAX_REMEMBERED_TEXTS, REDACTED, Redactor
from chainlog_async.entry.repair import encode_storable
from chainlog_async.entry.sanitize import sanitize_message
from chainlog_async.entry.secret_forms import DATABRICKS, FORMS, Form
from tests.support.entries import entry
from tests.support.provider_errors import provider_errors
from tests.support.secrets import Bodies, by_form

SECRETS = by_form()
SECRET_BYTES = Bodies().hex(32).encode()

SURROUNDINGS = [
    "{}",
    "Incorrect API key provided: {}, see the docs",
    "the value {}.",
    "bad '{}'",
    '{{"x": "{}"}}',
    r"{{\"x\": \"{}\"}}",
    r"line\n{}\nnext",
    "https://host/v1?a=1&x={}&y=2",
    "q%3D{}%26y%3D2",
    "%22{}%22",
    r"x\u003d{}\u0026y",
    "无效的密钥{}。",
    "[{}]",
    "<{}>",
    "`{}`, and",
]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_known_by_its_form(name: str) -> None:
    """A key of any issuer that we know is redacted wherever it stands, and the text around it stays."""
    for seed in range(5):
        secret = by_form(seed)[name]
        for surrounding in SURROUNDINGS:
            assert Redactor()(surrounding.format(secret)) == surrounding.format(REDACTED)


def test_every_form_has_a_secret_in_the_table() -> None:
    """No expression is without a secret that it is there for."""
    assert len(SECRETS) >= 80
    for form in (*FORMS, DATABRICKS):
        for expression in form.secrets:
            assert any(re.fullmatch(expression, secret, re.ASCII) for secret in SECRETS.values()), expression


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.secrets[0][:12])
def test_every_secret_has_the_mark_of_its_form(form: Form) -> None:
    """So a text without any mark is left alone."""
    for seed in range(20):
        for name, secret in by_form(seed).items():
            if form.pattern.fullmatch(secret):
                assert form.character in secret, name
                assert form.mark is None or form.mark.search(secret), name


def test_no_error_of_a_provider_is_changed() -> None:
    """More than a thousand messages of providers, gateways and HTTP clients are kept to the letter."""
    messages = set(provider_errors())
    assert len(messages) >= 1_000
    assert {message for message in messages if Redactor()(message) != message} == set()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "task-force desk-bound risk-averse",
        "model llama-3.1-8b-instant is overloaded, retry in 12.5s",
        "a key that starts with sk-ant-api03-, sk-proj-... or sk-",
        "key sk-...a1B2 and key ****a1B2 are masked",
        "model sk-model-7b-v2 and sk-chat-1.5b-instruct not found",
        "v1.0-beta of 1//0 and 4/0, AQ.x",
        "https://host:8443/@scope/package and https://host/models/claude@20240620?x=1",
        "git@github.com, ssh://git@github.com/x, user@example.com, http://[::1]:8080/@x",
        "sk-ssh-ed25519@openssh.com and sk-ecdsa-sha2-nistp256@openssh.com",
        "password: [redacted], api_key=[redacted], Authorization: Bearer [redacted]",
    ],
)
def test_what_looks_like_a_secret_and_is_none_stays(text: str) -> None:
    """Words, references, masked keys and what was redacted already are kept."""
    assert Redactor()(text) == text


def test_a_pattern_of_ones_own_is_redacted_too() -> None:
    """`redact_patterns` adds to what is redacted."""
    redact = Redactor(("corp-[0-9]+",))
    assert redact(f"key corp-42 and {SECRETS['OpenAI, old']}") == f"key {REDACTED} and {REDACTED}"
    assert redact("by corp-42") == f"by {REDACTED}"


def test_what_is_remembered_of_one_redactor_is_not_of_another() -> None:
    """A text that is clean by the usual patterns may hold what only `redact_patterns` calls a secret."""
    text = "project corp-42 has no quota"
    assert [Redactor()(text) for _ in range(2)] == [text, text]
    assert Redactor(("corp-[0-9]+",))(text) == f"project {REDACTED} has no quota"


def test_a_text_that_claims_to_equal_another_is_read() -> None:
    """Texts that are remembered are plain ones, so a class of somebody else's cannot pass a secret off as one."""

    class Anything(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("no secret")

    redact = Redactor()
    assert redact("no secret") == "no secret"
    assert REDACTED in redact(Anything(f"key {SECRETS['AWS']}"))


def test_the_memory_for_clean_texts_is_bounded() -> None:
    """However many different messages there are, and however long; the longest are not remembered."""
    redact = Redactor()
    tracemalloc.start()
    try:
        for number in range(2 * MAX_REMEMBERED_TEXTS + 100):
            redact(f"{number} ".ljust(MAX_REMEMBERED_CHARS, "\N{GRINNING FACE}"))
            redact(f"{number} ".ljust(MAX_REMEMBERED_CHARS + 1, "."))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * MAX_REMEMBERED_TEXTS * MAX_REMEMBERED_CHARS + 200_000


def test_redacting_twice_changes_no_more() -> None:
    """A message that is read from the log and logged again stays as it is."""
    redact = Redactor()
    for secret in SECRETS.values():
        once = redact(f"api_key={secret}, Authorization: Bearer {secret} at https://user:{secret}@host")
        assert secret not in once
        assert redact(once) == once


def test_no_secret_is_in_the_line() -> None:
    """What would go into the journal and the database has no secret in it."""
    secret = SECRETS["OpenAI, project"]
    line = encode_line(entry(http_status=401, error_message=f"bad key {secret}"))
    assert secret.encode() not in line
    assert REDACTED.encode() in line


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-api-key", SECRET_BYTES), (b"authorization", b"Bearer " + SECRET_BYTES)],
        [[b"x-api-key", SECRET_BYTES]],
        {b"x-api-key": SECRET_BYTES},
    ],
)
def test_headers_of_bytes_in_metadata_keep_no_secret(headers: object) -> None:
    """As ASGI and httpx have them: they are stored as text, and their values are redacted like any header's."""
    line = encode_storable(entry(metadata={"headers": headers}), Redactor())
    assert b"x-api-key" in line
    assert SECRET_BYTES not in line
    assert REDACTED.encode() in line


def test_a_secret_across_the_cut_is_redacted() -> None:
    """A key that begins just before the place where a long message is cut does not leave its beginning behind."""
    message = "x" * (MAX_ERROR_CHARS - 10) + " " + SECRETS["OpenAI, project"] + "y" * MAX_ERROR_CHARS
    assert b"sk-proj" not in encode_line(entry(error_message=message))


@pytest.mark.parametrize(
    "secret", ["https://user:s3cret-password@host", *(SECRETS[name] for name in ("AWS", "Groq", "GitHub", "SendGrid"))]
)
def test_half_a_secret_is_not_kept_where_others_made_room_for_it(secret: str) -> None:
    """However much is redacted before it, what is left of a secret that was cut is not told."""
    beginning = f"Bearer {'a' * 5_000} "
    for place in range(1, len(secret)):
        padding = "x" * (2 * MAX_ERROR_CHARS - len(beginning) - 1 - place)
        message = sanitize_message(f"{beginning}{padding} {secret} {'y' * 100}", Redactor(), "error_message")
        assert message.startswith(f"Bearer {REDACTED} x")
        assert message.endswith("x…")
