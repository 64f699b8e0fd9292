"""Redacts secrets in error messages: providers quote keys and URLs in theirs, and many people read a log.

A secret is known by its form (`secret_forms`), by its name (`secret_names`), by the header that it is in
(`secret_headers`), or by the URL or PEM block around it. Most messages have none, and cost a few searches for letters
and words that every secret has. All expressions are linear in the length of the text.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

from .secret_forms import DATABRICKS, FORMS
from .secret_headers import find_in_headers
from .secret_languages import find_foreign, may_have_foreign_names
from .secret_names import find_named
from .secret_values import Span, is_placeholder

REDACTED = "[redacted]"

MAX_REMEMBERED_TEXTS = 512
"""How many texts without a secret a `Redactor` remembers."""

MAX_REMEMBERED_CHARS = 1_024
"""Length above which it remembers none; so they take 2 MiB at the most, at 4 bytes a character."""

# What names a secret, and what follows it if it does: no word of a sentence. Each begins with a letter that few words
# have, so that it takes hardly longer than a search for that letter.
_VALUE = (
    r"[a-z0-9_-]{0,40}+"
    r"(?:\s(?:(?:is|was|value|of|with|provided|given|used|supplied|passed|received|sent)\b|expected\.)){0,2}+"
    r"(?:\s{0,4}[^a-z\s.,;)?]|\s{1,4}[^\s0-9*]{0,80}+[0-9*]|\sreceived=)"
)
_find_key = re.compile(rf"k(?:e[ny]{_VALUE}|ies?{_VALUE}|(?<=hook)s?[./\\])").search  # token, cookie, webhook
_find_password = re.compile(rf"p(?:(?:ass|wd){_VALUE}|i(?<=dapi)[0-9a-f]{{8}})").search  # and Databricks' tokens
_find_secret = re.compile(rf"cre(?:t|dential){_VALUE}").search
_find_scheme = re.compile(r"b(?:earer[\"'`\\]{0,4}[:=]|(?:earer|asic)(?:\s|%20|\+|\\t){1,4}+\S{6})").search
_find_authorization = re.compile(rf"authoriz{_VALUE}").search
_find_j = re.compile(r"j(?:wt|sessionid)").search
# The names that are only looked for where a value is assigned to them.
_find_assigned = re.compile(
    r"=(?:(?<=sig=)|(?<=signature=)|(?<=[?&]code=)|(?<=auth=)|(?<=ession=)|(?<=essid=)|(?<=essionid=)|(?<=\.sid=)"
    r"|(?<=ssertion=)|(?<=verifier=)|(?<=_pat=))"
).search
# Ends with a letter that few names end with, then a quote or none. One look back, of one length, tells most names.
_find_item = re.compile(
    r":(?<=[dhnr][\"'`]:|th:|id:|er:|\\[\"'`]:)"
    r"(?:(?<=auth.:)|(?<=session.:)|(?<=sessionid.:)|(?<=essid.:)|(?<=\.sid.:)|(?<=assertion.:)|(?<=verifier.:)"
    r"|(?<=(?:auth|ssid|\.sid|sion|onid|tion|fier)\\.:)"
    r"|(?<=auth:)|(?<=sessionid:)|(?<=essid:)|(?<=\.sid:)|(?<=verifier:))"
).search

_FORMS = tuple((form.character, None if form.mark is None else form.mark.search, form.pattern.sub) for form in FORMS)

_PEM = re.compile(
    r"-----BEGIN(?:[ +_]|%20)(?:[A-Z0-9 +_]|%20){0,30}PRIVATE(?:[ +_]|%20)KEY(?:[ +_A-Z]|%20){0,12}-----"
    # What the sentence "must start with -----BEGIN PRIVATE KEY-----" does not go on with.
    r"(?=(?:[\s>|\"'+]|\\{1,4}[nrt\"]|%0[AD]){0,20}(?:[A-Za-z0-9+/=]{12}|[A-Z][A-Za-z-]{2,20}:\s))"
    # It may have been cut short.
    r"(?s:.*?)(?:-----END[^-\n]{0,60}-----|\Z)"
)

_SCHEME = r"(?P<before>\b[A-Za-z][A-Za-z0-9+.-]{1,15}:\\?/\\?/)"
_URL_USER = re.compile(
    _SCHEME +
    # user:password, where the password may have any character, but is no port
    r"(?:[^\s/?#@:\"'<>\[]{0,100}:(?!\[redacted\]|[0-9]{1,5}(?:[/?#\s\"']|$))(?:[^\s/\"'<>]{1,200}(?=@)|[^\s@\"'<>]{1,200}(?=@))"
    # a token
    r"|(?!git@)[^\s/?#@:\"'<>\[]{1,200}(?=@))"
)
_ENCODED_URL_USER = re.compile(
    r"(?P<before>\b[A-Za-z][A-Za-z0-9+.-]{1,15}%3A%2F%2F)(?:[^\s\"'<>&%]|%(?!2F|40|26|2[027])){1,200}(?=%40)",
    re.IGNORECASE,
)
_GO_DSN_USER = re.compile(r"(?P<before>(?<![^\s\"'(=]))[^\s:@\"'/]{1,64}:[^\s@\"']{1,200}(?=@(?:tcp|unix)\()")
_CURL_USER = re.compile(
    r"(?P<before>(?<![^\s\"',])(?:-u|-U|--user|--proxy-user)(?:[\"']{1,2},?\s?[\"']{1,2}|[\s=]{1,3}[\"']?|\s?)"
    r"[^\s:\"']{1,100}:)(?P<password>[^\s\"']{1,200})"
)
_MYSQL_PASSWORD = re.compile(
    r"(?P<before>\b(?:mysql|mariadb)[a-z-]{0,12}\s(?:[^\n]{0,100}?\s)?-p)(?P<password>[^\s\"'`,;]{4,200})"
)
_WEBHOOK = re.compile(
    r"(?P<before>(?:hooks\.slack\.com\\?/(?:services|workflows|triggers)|hooks\.zapier\.com\\?/hooks\\?/catch"
    r"|discord(?:app)?\.com\\?/api\\?/(?:v[0-9]+\\?/)?webhooks|webhook\.office\.com\\?/webhookb2"
    r"|outlook\.office(?:365)?\.com\\?/webhook)\\?/)"
    r"[A-Za-z0-9_/@.\\-]{8,}"
)

_LOWER = dict(zip(map(ord, string.ascii_uppercase), string.ascii_lowercase, strict=True))


class Redactor:
    """Redacts secrets in a text. Remembers some texts that have none, as most messages come again and again."""

    def __init__(self, more_patterns: Sequence[str] = ()) -> None:
        """`more_patterns` are further regular expressions. Raises `re.error` when one is invalid."""
        self._more = re.compile("|".join(f"(?:{pattern})" for pattern in more_patterns)) if more_patterns else None
        self._clean: set[str] = set()

    def __call__(self, text: str) -> str:
        """Returns the text with every secret replaced by ``[redacted]``."""
        # A subclass of str may be equal to anything.
        may_remember = type(text) is str and len(text) <= MAX_REMEMBERED_CHARS
        if may_remember and text in self._clean:
            return text
        redacted = self._redact(text)
        if may_remember and redacted == text:
            if len(self._clean) >= MAX_REMEMBERED_TEXTS:
                # All at once, which threads may do at the same time; what is frequent is soon there again.
                self._clean.clear()
            self._clean.add(text)
        return redacted

    def _redact(self, text: str) -> str:
        if self._more is not None:
            text = self._more.sub(REDACTED, text)
        if "-" in text:
            if "-----BEGIN" in text:
                text = _PEM.sub(REDACTED, text)
            if "curl" in text:
                text = _CURL_USER.sub(_redact_password, text)
            if " -p" in text:
                text = _MYSQL_PASSWORD.sub(_redact_password, text)
        folded = text.lower()
        # Not a loop, which takes two thirds longer for a short text.
        if (
            _find_key(folded)
            or _find_password(folded)
            or ("cre" in folded and _find_secret(folded))
            or ("z" in folded and "authoriz" in folded and _find_authorization(folded))
            or _find_scheme(folded)
            or ("=" in text and _find_assigned(folded))
            or (":" in text and _find_item(folded))
            or ("j" in folded and _find_j(folded))
            or ("%" in text and "%3d" in folded and ("sig" in folded or "auth" in folded))
            or may_have_foreign_names(text, folded)
        ):
            text = _redact_named(text, folded)
        if "@" in text or ("%" in text and "%40" in text):
            text = _redact_urls(text)
        for character, find_mark, redact in _FORMS:
            if character in text and (find_mark is None or find_mark(text)):
                text = redact(REDACTED, text)
        return text


def _redact_named(text: str, folded: str) -> str:
    if len(folded) != len(text):
        # A capital I with a dot is two characters in lower case.
        folded = text.translate(_LOWER)
    spans = [*find_in_headers(text, folded), *find_named(text, folded)]
    if may_have_foreign_names(text, folded):
        spans += find_foreign(text, folded)
    text = _redact_spans(text, sorted(spans))
    if "dapi" in text:
        text = DATABRICKS.pattern.sub(REDACTED, text)
    return _WEBHOOK.sub(_redact_rest, text) if "hook" in folded else text


def _redact_urls(text: str) -> str:
    text = _URL_USER.sub(_redact_rest, text)
    if "%40" in text:
        text = _ENCODED_URL_USER.sub(_redact_rest, text)
    return _GO_DSN_USER.sub(_redact_rest, text) if "@tcp(" in text or "@unix(" in text else text


def _redact_password(secret: re.Match[str]) -> str:
    return secret[0] if is_placeholder(secret["password"]) else secret["before"] + REDACTED


def _redact_rest(secret: re.Match[str]) -> str:
    return secret["before"] + REDACTED


def _redact_spans(text: str, spans: Iterable[Span]) -> str:
    pieces: list[str] = []
    end = 0
    for start, span_end in spans:
        if start >= end:
            pieces += (text[end:start], REDACTED)
        end = max(end, span_end)
    return "".join((*pieces, text[end:])) if pieces else text
