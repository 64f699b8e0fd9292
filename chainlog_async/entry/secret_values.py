"""Where a value ends, and whether it is a secret: it may be a word of the sentence, a placeholder, a path, code."""

from __future__ import annotations

import re

Span = tuple[int, int]
"""Where a secret starts and ends in its text."""

MAX_PLAIN_CHARS = 64
"""Length above which a value that should be a secret is one, whatever it looks like."""

QUOTE = r"(?:\\{0,3}[\"'`]|&quot;|&#0?3[49];|&#x2[27];|%2[27])"
"""A quote as error messages have it: escaped once or twice, or encoded for HTML or a URL."""

_PROSE_WORDS = """
a about access account active added after all allowed already an and any anything api are as at auth authentication
authorization authorized available bad be bearer because been before below blank both but by can cannot change check
code config configuration configured contact contain contains could created credential credentials custom default
deleted denied deprecated did digits disabled do does doesn don either empty enabled ensure enter env environment
error exceeded exists expected expired fail failed fails false field file flag for forbidden format found from
generate given go has have header headers here hidden how however id if in inaccessible inactive include incorrect
information input insufficient invalid is isn it its key keys later least letters limit limited long lowercase make
malformed masked match matching may mismatch mismatched missing must my name need needed needs new no non none not
nothing null number of off ok on one only option optional or out param parameter passed password permission
permissions please present private provide provided public query received redacted refused rejected request required
requires reset restricted revoked s scheme secret secrets secured see seems set short should since size some
specified str string strong supplied suspended symbol t than that the there this to token tokens too true try type
unable unauthorized unavailable unconfigured undefined unexpected unknown unreachable unset unsupported up update
uppercase use used user username using valid value values variable verify visit was wasn we weak were what when
which will with without wrong yes you your
"""
_PROSE = frozenset(_PROSE_WORDS.split())

_SECRET_WORD = r"(?:keys?|tokens?|secrets?|password|passwd|pwd|credentials?)"  # noqa: S105  # what secrets are called

_PLACEHOLDER = re.compile(
    r"<.*>|\[.*\]|\{.*\}|\$\{[^}]*\}?|\$\(.*\)|\$(?-i:[A-Z_][A-Z0-9_]*)|\$env:.*|%[a-z_]+%|[.…*xX#_-]+"
    r"|(?:[a-z]{2,5}[-_])?[.*x…]{2,}[a-z0-9]{0,4}|\[redacted.*"  # masked, but for its end
    r"|(?:your|insert|enter|put|replace|paste)[-_. ][a-z0-9_. -]*|your(?:api|key|token|secret)[a-z0-9_-]*"
    # key, self.api_key, SECRET_TOKEN, $password
    rf"|\$?(?:[a-z]{{1,24}}[_.]){{0,4}}(?:(?:api|access|auth|secret|client)[-_ ]?|user)?{_SECRET_WORD}"
    r"(?:[-_. ]?(?:here|value|string))?"
    r"|(?:os\.environ|os\.getenv|getenv|process\.env|import\.meta\.env|self|settings|config|cfg|args|kwargs|env|options"
    r"|opts|params|secrets|vault)(?:[.:(\[].*)?"
    r"|secretstr.*|class .*",
    re.IGNORECASE,
)
_PATH = re.compile(r"[~.]{0,2}/?(?:[a-z._-]++/)+[a-z._-]*|[A-Za-z]:[\\/].*")
_REFERENCE = re.compile(r"(?:https?|wss?|file|s3|gs|op|vault)://|arn:aws|urn:|projects/|//", re.IGNORECASE)
_PART_OF_WORD = r"(?:[A-Z]?[a-z]+(?:[A-Z][a-z]{2,}){0,3}|[A-Z]+)(?:'[a-z]{1,2})?"
_WORD = re.compile(rf"{_PART_OF_WORD}(?:[-_/.]{_PART_OF_WORD}){{0,5}}[-_/.]?")
_DIGIT = re.compile(r"[0-9]")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
_TRANSITIONS = re.compile(r"[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


# -- where a value ends -----------------------------------------------------------------------------------------------

_QUOTED = {quote: re.compile(rf"(?:[^{quote}\\]++|\\.)*+(?={quote})", re.DOTALL) for quote in ('"', "'", "`")}
# A delimiter may be part of a password: it ends the value if nothing follows it, or another name does.
_UNQUOTED = re.compile(
    r"(?:[^\s\"'`<>&;,()\[\]{}\\|]|\\(?![nrtu\"'\\`]))"
    r"(?:[^\s\"'`<>&;,()\[\]{}\\|]"
    r"|[,)\]}|(\[{](?=[A-Za-z0-9!@#$%^*+/=])(?![A-Za-z0-9_-]{1,30}[=:])"
    r"|\\(?![nrtu\"'\\`]))*+"
)
_ENCODED = re.compile(r"(?:[^\s\"'`<>&;,()\[\]{}\\|%]|%(?!(?:25)?(?:2[0267c]|3b|5d|7d|0[ad])))++", re.IGNORECASE)


def quoted_end(text: str, start: int, quote: str) -> int | None:
    """Returns where a value ends that starts after the quote; None if the quote is not closed."""
    if plain := _QUOTED.get(quote):
        closed = plain.match(text, start)
        return None if closed is None else closed.end()
    end = text.find(quote, start)
    if end < 0:
        end = text.find(quote.upper(), start)
    return None if end < 0 else end


def unquoted_end(text: str, start: int, *, max_chars: int | None = None, is_encoded: bool = False) -> int:
    """Returns where a value ends that starts without a quote, after `max_chars` at the latest."""
    max_end = len(text) if max_chars is None else start + max_chars
    found = (_ENCODED if is_encoded else _UNQUOTED).match(text, start, max_end)
    return start if found is None else start + len(without_punctuation(found[0]))


def without_punctuation(value: str) -> str:
    """Returns the value without the end of the sentence that it stands in."""
    return value.rstrip(".,:;")


# -- what it is -------------------------------------------------------------------------------------------------------


def is_placeholder(value: str) -> bool:
    """Returns whether the value stands for a secret, or was masked already: ``$KEY``, ``<key>``, ``None``, ``****``."""
    return len(value) <= MAX_PLAIN_CHARS and (value.casefold() in _PROSE or _PLACEHOLDER.fullmatch(value) is not None)


def is_reference(value: str) -> bool:
    """Returns whether the value says where a secret is: a URL, a path, an ARN."""
    return _REFERENCE.match(value) is not None or (len(value) <= MAX_PLAIN_CHARS and _PATH.fullmatch(value) is not None)


def is_word(value: str) -> bool:
    """Returns whether the value could be a word of a sentence: ``must``, ``invalid_api_key``, ``AuthError``."""
    if not value.isascii():
        return not any(char.isdigit() for char in value)
    return len(value) <= 40 and _WORD.fullmatch(value) is not None and max(map(len, _SEPARATORS.split(value))) <= 20


def is_prose(value: str) -> bool:
    """Returns whether a value in quotes is a sentence: ``"password": "must have 8 characters"``."""
    words = value[:200].split()
    known = sum(word.strip(".,:;!?'\"()`").casefold() in _PROSE for word in words)
    return len(words) > 1 and (known * 2 >= len(words) or known >= 3)


def looks_random(value: str, min_chars: int = 8) -> bool:
    """Returns whether the value, or a part of it between punctuation, mixes letters and digits as no word does."""
    if _DIGIT.search(value) is None:
        return False
    if len(value) >= 24 and _BASE64.fullmatch(value) and not value.islower() and not value.isupper():
        return True
    return any(
        len(part) >= min_chars and (len(_TRANSITIONS.findall(part)) >= 2 or (len(part) >= 20 and _is_mixed(part)))
        for part in _SEPARATORS.split(value)
    )


def _is_mixed(part: str) -> bool:
    return not part.isdigit() and not part.isalpha()
