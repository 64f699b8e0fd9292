"""A text that was made to keep the redactor busy takes it no longer than another of its length."""

from __future__ import annotations

import re
import re._parser as parser  # type: ignore[import-not-found]  # nothing public tells what is in an expression
from collections.abc import Iterator
from types import ModuleType

import pytest

from chainlog_async.entry import (
    redaction,
    secret_forms,
    secret_headers,
    secret_languages,
    secret_names,
    secret_values,
)
from chainlog_async.entry.redaction import Redactor
from tests.support.secrets import by_form

MODULES = (redaction, secret_forms, secret_headers, secret_languages, secret_names, secret_values)

MANY = 16
"""A repeat of more than this counts as one without an end."""

CHARS = 100_000

PIECES = [
    *("sk-", "sk-a", "sk-.", "://a:", "://a:b", "a@:/", "x:y@tcp(", "%3A%2F%2Fa", "%40", "@"),
    *("eyJ", "eyJhbGciOi", "eyJ-", "-us1", "_", "-", "__", "--", ".", "..", "~", "Q~", "A", "J", "S", "dapi", "dapi0"),
    *("key", "key=", "key ", 'key:"', "key:'", 'key:\\"', 'key:\\\\"', "key:&quot;", "key%3D", "keys=['a',", "key: a."),
    *("api_key=", "api_key: ", 'api_key="a b c ', "--api-key ", "('key', '", 'key","value":"', "<api_key>a", "&key="),
    *("token", "token=", "token: ", "tokens ", "token is is ", "secret=", "secret: ", "password=,a", "password=[a"),
    *("password=)", "password=a,b=", "pwd=", "pass=", "auth=", "auth=('a', ", "credential=", "sig=", "?code=", "&sig="),
    *("bearer ", "Bearer a", "Bearer a1", "basic ", "Basic abcdef", "Basic YTpi "),
    *(
        "authorization: ",
        "authorization: a ",
        'authorization: "',
        "authorization: Digest a='b', ",
        "authorization: x a=b ",
    ),
    *("cookie:a=b;", "cookie: a=b; ", "set-cookie: a=b, ", "cookies={", "cookie: a='b' ", "cookie: a;"),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nabcdefghijkl", "-----BEGIN ", "-----END "),
    *(
        "curl -u ",
        "mysql -p",
        "mysql a -",
        "curl -u a:",
        "-u a:b ",
        "密钥",
        "密钥a1",
        "clave ",
        "clave a1 ",
        "session=",
        'jwt":"',
        "//0",
        "v1.0-",
    ),
    *("bearer:", "connect.sid=", "code_verifier=", "sk-a-1b-", "sk-model-7b-", "キー" + "a1" * 20),
    *("hooks.slack.com/services/", "hook.", "webhook.office.com/webhookb2/a"),
    *(
        "[redacted]",
        "k",
        "p",
        "b",
        "=",
        '"',
        '\\"',
        "\\",
        "'",
        "`",
        ":",
        ",",
        "(",
        "[",
        "{",
        "<",
        "%",
        "%2",
        "&",
        "&quot;",
    ),
    *("0123456789abcdef", "12345678", "123456789:A", "a", "a1", "aA1_", "a.b-c_d ", " ", "\n", "é", "İ"),
    *(secret[:8] for secret in by_form().values()),
]


@pytest.mark.parametrize("piece", dict.fromkeys(PIECES))
@pytest.mark.timeout(30)
def test_almost_secrets_are_read_once(piece: str) -> None:
    """A hundred thousand characters of them take milliseconds; if each were read to the end it would be minutes."""
    Redactor()(piece * (CHARS // len(piece)))


def _expressions() -> Iterator[str]:
    for module in MODULES:
        yield from _expressions_in(module)


def _expressions_in(module: ModuleType) -> Iterator[str]:
    values = list(vars(module).values())
    while values:
        value = values.pop()
        if isinstance(value, re.Pattern):
            yield value.pattern
        elif isinstance(value, tuple | list):
            values += value
        elif isinstance(value, dict):
            values += value.values()
        elif (pattern := getattr(value, "__self__", None)) is not None and isinstance(pattern, re.Pattern):
            yield pattern.pattern


def _nested_repeats(tree: object, *, is_repeated: bool = False) -> Iterator[object]:
    """Yields what is repeated without end in what is repeated without end, and could be read in many ways."""
    if isinstance(tree, parser.SubPattern):
        for operation, argument in tree:
            if operation in {parser.MAX_REPEAT, parser.MIN_REPEAT}:
                _, most, repeated = argument
                is_long = most > MANY
                if is_long and is_repeated:
                    yield repeated
                # What starts with a character of its own can be divided in one way only.
                starts_alone = len(repeated) > 1 and repeated[0][0] in {parser.LITERAL, parser.IN}
                yield from _nested_repeats(repeated, is_repeated=is_repeated or (is_long and not starts_alone))
            else:
                yield from _nested_repeats(argument, is_repeated=is_repeated)
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _nested_repeats(part, is_repeated=is_repeated)


@pytest.mark.parametrize("expression", dict.fromkeys(_expressions()))
def test_no_repeat_is_in_another(expression: str) -> None:
    """Nor can any part of a text be divided among two of them in many ways."""
    assert list(_nested_repeats(parser.parse(expression))) == []


def test_the_expressions_are_found() -> None:
    """The test above reads those of each module."""
    assert all(len(list(_expressions_in(module))) >= 2 for module in MODULES)
    assert list(_nested_repeats(parser.parse("(?:a+)+")))
    assert list(_nested_repeats(parser.parse("(?:x|(a*)b?)*")))
    assert not list(_nested_repeats(parser.parse(r"(?:\.a+)*")))
