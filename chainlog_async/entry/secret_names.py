"""The secrets that are known by their name, which precedes them: that of a field, or one in a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import NamedTuple

from .secret_values import (
    QUOTE,
    Span,
    is_placeholder,
    is_prose,
    is_reference,
    is_word,
    looks_random,
    quoted_end,
    unquoted_end,
)

_MAX_BEFORE = 24
"""How many characters before a name say how far it is to be trusted."""

_MIN_RANDOM_CHARS = 8
_MIN_RANDOM_CHARS_IN_SENTENCE = 12

_RANDOM_VALUE = "Zk3x9Qw7Rt5bYp2mLv8cNd4h"
"""No word, path or placeholder."""

_MAX_JUDGED = 80
"""How many characters of a value say whether it is a secret, lest a long one is read for every name that is in it."""


class _Trust(Enum):
    """What a name says about its value."""

    PASSWORD = auto()
    """It is a secret, perhaps a word, unless it is a placeholder or a sentence."""
    SECRET = auto()
    """It is a secret unless it could be a word."""
    RANDOM = auto()
    """It is a secret if it looks random."""
    NONE = auto()


class _Place(Enum):
    """How a value stands with its name."""

    ASSIGNED = auto()
    """name=value, "name": "value", <name>value</name>, --name value"""
    PAIRED = auto()
    """("name", "value"), which may be two names as well"""
    AFTER_COLON = auto()
    """name: value, which may be a sentence about the name as well"""
    IN_SENTENCE = auto()
    """name value, which are mostly two words"""


# -- names, all in lower case -----------------------------------------------------------------------------------------

# What may follow a name and be part of it, as in API_KEY_2 and SECRET_KEY_BASE. An api_key_id is no key.
_SUFFIX = (
    r"(?:value|string)?(?:[-_](?!(?:ids?|names?|alias|type|counts?|limits?|version|arn|path|file|url|uri|len|length"
    r"|size|format|prefix|expir[a-z]*|ttl|status|errors?|created|index|policy|usage|used|required|rotation|scopes?|rules?"
    r"|header|field|env|provider|owner|role|valid|invalid|info|label|not|is|missing|per|lifetime|hash|source|process|reset|remaining|budget)(?![a-z]))"
    r"[a-z0-9]{1,16}){0,2}(?![a-z0-9_-])"
)

_SECRET_KEY = re.compile(
    r"(?:api|access|secret|private|account|shared|subscription|master|encryption|signing|licen[cs]e|functions?|app"
    r"|application|auth|service|storage|admin|client|server|consumer|host|deploy|virtual|ingest|webhook|bot|customer"
    r"|proxy|openai|anthropic|claude|azure|gemini|google|groq|mistral|cohere|deepseek|openrouter|hugging ?face|together"
    r"|perplexity|nvidia|jwt|hmac|database|user|(?<![a-z])(?:xai|aes|rsa|ssh|db))[-_ .]?$"
)
_PLAIN_KEY = re.compile(
    r"(?:cache|primary|foreign|public|partition|sort|routing|idempotency|dedup[a-z]*|hash|range|object|unique|index"
    r"|composite|required|unknown|missing|extra|duplicate|unexpected|event|group|row|lookup|json|dict|map|config"
    r"|metadata|tag|label|project|safety|sharding|shard)[-_ ]?$|(?:mon|don|tur|hoc|joc|whis)$"
)
_SECRET_TOKEN = re.compile(
    r"(?:api|access|auth|authentication|authorization|bearer|refresh|session|security|bot|deploy|user|app"
    r"|application|service|account|secret|private|vault|csrf|xsrf|jwt|oauth2?|github|gitlab|slack|server"
    r"|client|proxy|push|device|master|admin|login|verification|identity|delegation|(?<![a-z])(?:id|hf|hub|sas))[-_ ]?$"
)
_PLAIN_TOKEN = re.compile(
    r"(?:eos|bos|pad|stop|special|max|min|unk|sep|cls|mask|image|audio|video|start|end|next|page|continuation|sync"
    r"|per|num|total|prompt|completion|output|input|new|first|last|think|thinking|tool|text|unexpected|sampled|draft"
    r"|cached?|reasoning|logit|vocab)[-_ ]?$"
)
_SECRET_SECRET = re.compile(r"(?:client|shared|app|application|api|webhook|signing|consumer|oauth|jwt)[-_ ]?$")
_SAID_OF_KEYS = re.compile(r"(?:invalid|incorrect|wrong|bad|revoked|expired|your|provided|with|using|the)[-_ ]$")
_IN_QUERY = re.compile(r"(?:[?&;]|%3f|%26|\\u0026)(?:[a-z0-9]+[-_])?$")


def _trust_key(before: str, *, in_sentence: bool) -> _Trust:
    if _SECRET_KEY.search(before) or _IN_QUERY.search(before):
        return _Trust.SECRET
    if _PLAIN_KEY.search(before) or (in_sentence and not _SAID_OF_KEYS.search(before)):
        return _Trust.NONE
    return _Trust.RANDOM


def _trust_token(before: str, *, in_sentence: bool) -> _Trust:  # noqa: ARG001  # called like the others
    if _PLAIN_TOKEN.search(before):
        return _Trust.NONE
    if _SECRET_TOKEN.search(before) or _IN_QUERY.search(before) or before.endswith("-"):
        return _Trust.SECRET
    return _Trust.RANDOM


def _trust_secret(before: str, *, in_sentence: bool) -> _Trust:
    if before.endswith((":", "/")):
        return _Trust.NONE
    return _Trust.RANDOM if in_sentence and not _SECRET_SECRET.search(before) else _Trust.PASSWORD


def _trust_password(before: str, *, in_sentence: bool) -> _Trust:  # noqa: ARG001  # called like the others
    return _Trust.PASSWORD


def _trust_other(before: str, *, in_sentence: bool) -> _Trust:  # noqa: ARG001  # called like the others
    return _Trust.NONE if in_sentence else _Trust.RANDOM


class _Name(NamedTuple):
    pattern: re.Pattern[str]
    trust: Callable[..., _Trust]
    min_random_chars: int


# By a word that is looked for first.
_NAMES = {
    "key": _Name(re.compile(rf"keys?(?:\sexpected\.\sreceived)?{_SUFFIX}"), _trust_key, 16),
    # Most "tokens" are those of a language model.
    "token": _Name(
        re.compile(rf"token(?:s(?<=(?:ccess|.auth|fresh|earer|..api)[-_ ]tokens))?{_SUFFIX}"),
        _trust_token,
        _MIN_RANDOM_CHARS,
    ),
    "secret": _Name(re.compile(rf"secrets?{_SUFFIX}"), _trust_secret, _MIN_RANDOM_CHARS),
    "pass": _Name(
        re.compile(rf"pass(?:wor[dt]|wd|phrase|code|(?<=[a-z][-_]pass)|(?<=pgpass)|(?<=\bpass)(?==))s?{_SUFFIX}"),
        _trust_password,
        _MIN_RANDOM_CHARS,
    ),
    "pwd": _Name(re.compile(rf"pwd{_SUFFIX}"), _trust_password, _MIN_RANDOM_CHARS),
    "auth": _Name(re.compile(rf"(?<![a-z])auth{_SUFFIX}"), _trust_other, _MIN_RANDOM_CHARS),
    "cred": _Name(re.compile(rf"credentials?{_SUFFIX}"), _trust_other, _MIN_RANDOM_CHARS),
    "bearer": _Name(re.compile(r"bearer(?![a-z0-9_-])"), _trust_other, _MIN_RANDOM_CHARS),
    "jwt": _Name(re.compile(r"jwts?(?![a-z0-9_-])"), _trust_other, _MIN_RANDOM_CHARS),
    "assertion": _Name(re.compile(r"(?<=client_)assertion(?![a-z0-9_-])"), _trust_other, _MIN_RANDOM_CHARS),
    "verifier": _Name(re.compile(r"(?<=code_)verifier(?![a-z0-9_-])"), _trust_other, _MIN_RANDOM_CHARS),
    # Not a session_id, which mostly tells one conversation from another.
    "sess": _Name(
        re.compile(r"(?<![a-z])(?:(?:j?sessionid|phpsessid)(?![a-z0-9_-])|session(?=\s?=|[\"'`\\&%]))"),
        _trust_other,
        _MIN_RANDOM_CHARS,
    ),
    "connect.sid": _Name(re.compile(r"connect\.sid(?![a-z0-9_-])"), _trust_other, _MIN_RANDOM_CHARS),
    # A personal access token, as in GITHUB_PAT.
    "_pat": _Name(re.compile(r"(?<=_)pat(?==)"), _trust_other, _MIN_RANDOM_CHARS),
    "code": _Name(re.compile(r"(?<=[?&])code(?==|%(?:25)?3d)"), _trust_other, _MIN_RANDOM_CHARS),
    "sig": _Name(re.compile(r"sig(?:nature)?(?==|%(?:25)?3d|\\u003d)"), _trust_other, _MIN_RANDOM_CHARS),
}

# -- how a value follows its name -------------------------------------------------------------------------------------

_VERB = r"(?:\s(?:was|is|value|of|with))"
_PARTICIPLE = r"\s(?:provided|given|used|supplied|passed|received|sent)"
EQUALS = r"(?:=>|!?={1,3}|->|%(?:25)?3d|\\u003d)"
COLON = r"(?::=?|%(?:25)?3a|\\u003a)"

_AFTER = re.compile(
    rf"(?P<called>{_PARTICIPLE})?{_VERB}?{QUOTE}?\]?\s{{0,4}}(?:(?P<equals>{EQUALS})|(?P<colon>{COLON}))"
    rf"(?:\s|%20|\+){{0,4}}(?:(?:secretstr\(|(?P<list>[\[(]\s?))?[bruf]{{0,2}}(?P<quote1>{QUOTE}))?"
    rf"|{QUOTE},\s{{0,4}}{QUOTE}value{QUOTE}\s?:\s?(?P<quote2>{QUOTE})"
    rf"|{QUOTE},\s?[bruf]?(?P<pair>{QUOTE})"
    r"|(?P<tag>>)(?=[a-z0-9+/])"
    rf"|(?:{_PARTICIPLE})?{_VERB}?\s{{1,2}}[\[(]?(?P<quote3>{QUOTE})?"
)
_BEFORE_PAIR = re.compile(r"[(\[]\s?b?[\"'`\\]{1,4}[a-z0-9_.-]{0,40}$")
_BEFORE_TAG = re.compile(r"<[a-z0-9_:.-]*$")
_BEFORE_OPTION = re.compile(r"(?:^|[\s\"'])--[a-z0-9-]*$")
_NEXT_IN_LIST = re.compile(r"[\"'`\\]{1,4}\s?,\s?[bruf]{0,2}(?=[\"'`\\])")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_CALL = re.compile(r"[A-Za-z_.]{1,64}\(")
_MASKED = re.compile(r"[A-Za-z0-9]{4,}[*.…]{2,}[A-Za-z0-9]*")
_DELIMITER = re.compile(r"\.?(?:$|[\r\n,;\"')\]}&]|\\n)")


def may_name_secret(name: str) -> bool:
    """Whether this name says of some values that they are secrets; `is_named_secret` tells of which."""
    return is_named_secret(name, _RANDOM_VALUE)


def is_named_secret(name: str, value: str) -> bool:
    """Whether a value would be a secret in the text ``name=value``."""
    text = f"{name}={value}"
    folded = text.lower()
    return len(folded) == len(text) and any(start > len(name) for start, _ in find_named(text, folded))


def find_named(text: str, folded: str) -> Iterator[Span]:
    """Yields each secret that follows its name, in no order. `folded` is the text in lower case, and as long."""
    for word, name in _NAMES.items():
        if word in folded:
            end = 0
            for found in name.pattern.finditer(folded):
                # What is in a secret already is not read again, which would take forever for a text made for it.
                after = _AFTER.match(folded, found.end()) if found.start() >= end else None
                if after is not None:
                    for span in _values(text, folded, name, found, after):
                        yield span
                        end = span[1]


def _values(text: str, folded: str, name: _Name, found: re.Match[str], after: re.Match[str]) -> Iterator[Span]:
    before = folded[max(0, found.start() - _MAX_BEFORE) : found.start()]
    place = _place(before, after)
    if place is None:
        return
    trust = name.trust(before, in_sentence=place is _Place.IN_SENTENCE)
    if trust is _Trust.RANDOM and before.endswith("_") and found[0].upper() == text[slice(*found.span())]:
        trust = _Trust.SECRET  # the name of an environment variable
    quote = after["quote1"] or after["pair"] or after["quote2"] or after["quote3"]
    start = after.end()
    while trust is not _Trust.NONE:
        end = quoted_end(folded, start, quote) if quote else None
        if end is None:
            end = unquoted_end(text, start, max_chars=_MAX_JUDGED, is_encoded="%" in after[0])
            if not _is_secret(text, (start, end), trust, place, name):
                return
            yield start, unquoted_end(text, start, is_encoded="%" in after[0])
            return
        if not is_prose(text[start:end]) and _is_secret(text, (start, end), trust, _when_quoted(place), name):
            yield start, end
        following = _NEXT_IN_LIST.match(folded, end) if after["list"] else None
        if following is None:
            return
        start = following.end() + len(quote or "")


def _place(before: str, after: re.Match[str]) -> _Place | None:
    if after["equals"] or after["quote2"] or after["called"]:
        return _Place.ASSIGNED
    if after["colon"]:
        return _Place.AFTER_COLON
    if after["pair"]:
        return _Place.PAIRED if _BEFORE_PAIR.search(before) else None
    if after["tag"]:
        return _Place.ASSIGNED if _BEFORE_TAG.search(before) else None
    return _Place.AFTER_COLON if _BEFORE_OPTION.search(before) else _Place.IN_SENTENCE


def _when_quoted(place: _Place) -> _Place:
    return _Place.ASSIGNED if place is _Place.AFTER_COLON else place


def _is_secret(text: str, span: Span, trust: _Trust, place: _Place, name: _Name) -> bool:
    start, end = span
    value = text[start : min(end, start + _MAX_JUDGED)]
    if is_placeholder(value) or is_reference(value) or _CALL.match(text, start):
        return False
    if trust is _Trust.RANDOM or place is _Place.IN_SENTENCE:
        return _looks_secret(value, trust, place, name)
    if value.isdigit():
        return len(value) >= (4 if trust is _Trust.PASSWORD else 8)
    if place is _Place.ASSIGNED:
        return len(value) >= 3
    if is_word(value):
        return (
            place is _Place.AFTER_COLON
            and trust is _Trust.PASSWORD
            and len(value) >= 6
            and _DELIMITER.match(text, end) is not None
        )
    return len(value) >= (4 if trust is _Trust.PASSWORD else 6)


def _looks_secret(value: str, trust: _Trust, place: _Place, name: _Name) -> bool:
    if trust is not _Trust.RANDOM:
        return looks_random(value, _MIN_RANDOM_CHARS) or _MASKED.match(value) is not None
    if place is _Place.IN_SENTENCE:
        return looks_random(value, max(name.min_random_chars, _MIN_RANDOM_CHARS_IN_SENTENCE))
    # What is called just a key may be that of an object in a store or a cache.
    is_object = name.min_random_chars > _MIN_RANDOM_CHARS and not _BARE_KEY.fullmatch(value)
    return not is_object and looks_random(value, name.min_random_chars)
