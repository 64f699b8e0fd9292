"""The secrets in headers: Authorization with its many schemes, and Cookie; and a scheme with its secret alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

from .secret_names import COLON, EQUALS
from .secret_values import (
    QUOTE,
    Span,
    is_placeholder,
    is_prose,
    is_reference,
    is_word,
    looks_random,
    quoted_end,
    without_punctuation,
)

_ASSIGNED = (
    rf"(?:{QUOTE}?\]?\s{{0,4}}(?:{COLON}|{EQUALS})(?:\s|%20|\+){{0,4}}(?:\[?[bruf]{{0,2}}(?={QUOTE}))?"
    rf"|{QUOTE},(?:\s{{0,4}}{QUOTE}value{QUOTE}\s?:)?\s?[bruf]?(?={QUOTE})|>)(?P<quote>{QUOTE})?"
)
_AUTHORIZATION = re.compile(rf"authorization{_ASSIGNED}")
_COOKIE = re.compile(rf"cookies?{_ASSIGNED}")

_SPACE = r"(?:\s|%20|\+|\\t)"
_SCHEME = re.compile(rf"(?P<scheme>[A-Za-z][A-Za-z0-9_-]{{1,24}}){_SPACE}{{1,4}}(?={QUOTE}?[^\s\"'])")
_SCHEME_NAMES = """
apikey api-key key token basic bearer bot digest negotiate ntlm hawk oauth hmac ssws splunk githubapp snowflake jwt sso
sharedkey sharedkeylite googlelogin flyv1 klaviyo-api-key aws hoba mutual vapid dpop gnap genie
"""
_SCHEMES = frozenset(_SCHEME_NAMES.split())
_PARAMETERS = re.compile(
    rf"(?:[A-Za-z_-]{{1,40}}+=(?:{QUOTE}[^\"'`\\\n]*+{QUOTE}|[^\s,\"'`\\=][^\s,\"'`\\]*+)[,\s]{{0,3}})+"
)
_CHALLENGE = re.compile(r"(?:realm|error|error_description|scope|charset|authorization_uri|resource_metadata)=")

_BEARER = re.compile(rf"bearer(?P<space>{_SPACE}{{1,4}})(?P<quote>{QUOTE})?")
_BASIC = re.compile(rf"basic(?P<space>{_SPACE}{{1,4}})(?P<quote>{QUOTE})?(?=[a-z0-9+/_-]{{6}})")
_CREDENTIAL = re.compile(r"[A-Za-z0-9._~+/*=:|%-]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_DELIMITER = re.compile(r"$|[\r\n,;\"'`)\]}&]|\\n")

_PAIR = r"[^\s=;,\"'`{}\\]{1,200}+"
_VALUE = r"(?:\"[^\"\n]{1,4096}\"|'[^'\n]{1,4096}'|[^\s;,\"'`{}\\]*+)"
_JAR = re.compile(
    rf"{_PAIR}={_VALUE}"
    rf"(?:;\s?{_PAIR}(?:=(?:[A-Za-z]{{3}},\s[^;,\"'\n]{{10,30}}GMT|{_VALUE}))?|,\s?{_PAIR}={_VALUE})*+"
)
_JAR_IN_BRACES = re.compile(r"\{[^{}]{3,4096}")

_MIN_CHARS = 6
_MIN_LETTERS = 16
"""How many letters without a digit are no word."""


def find_in_headers(text: str, folded: str) -> Iterator[Span]:
    """Yields each secret of a header, in no order. `folded` is the text in lower case, and as long."""
    if "authorization" in folded:
        yield from _each(_AUTHORIZATION, text, folded, _authorization)
    if "cookie" in folded:
        yield from _each(_COOKIE, text, folded, _cookies)
    if "bearer" in folded:
        yield from _each(_BEARER, text, folded, _bearer)
    if "basic" in folded:
        yield from _each(_BASIC, text, folded, _basic)


def _each(
    pattern: re.Pattern[str], text: str, folded: str, secret_after: Callable[[str, re.Match[str]], Span | None]
) -> Iterator[Span]:
    end = 0
    for found in pattern.finditer(folded):
        # What is in a secret already is not read again, which would take forever for a text made for it.
        if found.start() >= end and (span := secret_after(text, found)):
            yield span
            end = span[1]


def _authorization(text: str, header: re.Match[str]) -> Span | None:
    start, quote = header.end(), header["quote"]
    end = quoted_end(text, start, quote) if quote else None
    scheme = _SCHEME.match(text, start)
    if scheme and (parameters := _PARAMETERS.match(text, scheme.end())):
        return None if _CHALLENGE.match(parameters[0]) else (scheme.end(), _end_of(parameters))
    if end is not None:
        return _quoted_authorization(text, start, end)
    if scheme and scheme["scheme"].casefold() in _SCHEMES:
        return _credential(text, scheme.end(), is_in_header=True)
    if (
        scheme
        and (second := _credential(text, scheme.end(), is_in_header=False))
        and looks_random(text[slice(*second)])
    ):
        return second
    return _credential(text, start, is_in_header=False)


def _quoted_authorization(text: str, start: int, end: int) -> Span | None:
    scheme = _SCHEME.match(text, start, end)
    value_start = scheme.end() if scheme else start
    value = text[value_start : min(end, value_start + 256)]
    if len(value) < 3 or is_prose(text[start:end]) or is_placeholder(value) or is_reference(value):
        return None
    return value_start, end


def _credential(text: str, start: int, *, is_in_header: bool) -> Span | None:
    """Returns the credential that starts there, if it is one and no word of a sentence."""
    found = _CREDENTIAL.match(text, start)
    if found is None:
        return None
    end = start + len(without_punctuation(found[0]))
    value = text[start : min(end, start + 256)]
    if len(value) < _MIN_CHARS or is_placeholder(value) or is_reference(value) or _CHALLENGE.match(value):
        return None
    if is_word(value) and not (value.isalpha() and len(value) >= _MIN_LETTERS):
        return (start, end) if is_in_header and _DELIMITER.match(text, end) else None
    return start, end


def _bearer(text: str, scheme: re.Match[str]) -> Span | None:
    span = _credential(text, scheme.end(), is_in_header=False)
    return span and (_after_scheme(scheme), span[1])


def _basic(text: str, scheme: re.Match[str]) -> Span | None:
    found = _BASE64.match(text, scheme.end())
    if found is None:
        return None
    encoded = found[0].rstrip("=")
    try:
        decoded = base64.b64decode(encoded[: len(encoded) // 4 * 4], altchars="-_" if "_" in encoded else None)
    except ValueError:
        return None
    is_pair = b":" in decoded and decoded.isascii() and decoded.decode().isprintable()
    return (_after_scheme(scheme), found.end()) if is_pair else None


def _after_scheme(scheme: re.Match[str]) -> int:
    """Returns where to write instead of the secret: one space after the scheme, or after what stands for it."""
    is_plain = scheme["space"].isspace() and not scheme["quote"]
    return scheme.start("space") + 1 if is_plain else scheme.end()


def _cookies(text: str, header: re.Match[str]) -> Span | None:
    start, quote = header.end(), header["quote"]
    end = quoted_end(text, start, quote) if quote else None
    if end is not None:
        return (start, end) if "=" in text[start:end] else None
    if braces := _JAR_IN_BRACES.match(text, start):
        return start + 1, braces.end()
    if jar := _JAR.match(text, start):
        return start, start + len(without_punctuation(jar[0]))
    return None


def _end_of(parameters: re.Match[str]) -> int:
    return parameters.start() + len(parameters[0].rstrip(", \n"))
