"""The secrets that are named in another language than English: by a word for key, token or password."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .secret_values import Span, is_reference, looks_random

_MIN_RANDOM_CHARS = 16
"""A word of a sentence says less than the name of a field: what follows has to look like nothing else."""

_WORDS = (
    r"schlüssel|passwort|kennwort|clé|clef|mot\sde\spasse|clave|contraseña|llave|senha|chave|chiave|sleutel|wachtwoord"
    r"|nyckel|lösenord|nøgle|nøkkel|avain|klucz|hasło|klíč|heslo|kulcs|jelszó|cheie|anahtar|şifre|парол[ьяюе]"
    r"|(?:ключ|токен)[\u0430-\u044f]{0,2}|密[钥鑰码碼匙]|秘[钥鑰]|金鑰|令牌|口令|キー|トークン|パスワード|シークレット|鍵|키"
    r"|토큰|비밀번호|시크릿|khóa|mật\skhẩu|مفتاح|מפתח|कुंजी|กุญแจ|รหัสผ่าน|κλειδί"
)

# Between the word and the value may be more words of the same sentence, but no word that names something else.
_NAMED = re.compile(
    rf"(?:{_WORDS})(?P<between>[^.!?;。\uff01\uff1f\uff1b\uff0c,\n0-9]{{0,40}}?)(?P<value>[A-Za-z0-9_~+/.-]{{16,}}+=*)",
)
_OTHER = re.compile(
    r"(?:\bid\b|\bmod|模型|モデル|모델|request|anfrage|requête|solicitud|petición|richiesta|aanvraag|verzoek|запрос|trace"
    r"|请求|請求|リクエスト|요청|https?:|\()",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def may_have_foreign_names(text: str, folded: str) -> bool:
    """Whether it is worth while to look; most languages have letters that English has not."""
    return not text.isascii() or "clave" in folded


def find_foreign(text: str, folded: str) -> Iterator[Span]:
    """Yields each random value that follows such a word. `folded` is the text in lower case, and as long."""
    for found in _NAMED.finditer(folded):
        start, end = found.span("value")
        value = text[start:end].rstrip("./")
        if _OTHER.search(found["between"]) or is_reference(value):
            continue
        if looks_random(value[:80], _MIN_RANDOM_CHARS) or _UUID.fullmatch(value):
            yield start, start + len(value)
