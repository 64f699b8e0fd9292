"""What stands under the name of a secret never reaches the file, whatever it looks like."""

from __future__ import annotations

import base64

import pytest

from chainlog_async.entry.redaction import REDACTED, Redactor
from tests.support.secrets import Bodies

make = Bodies(3)

SECRETS = {
    "s": make.alnum(14),
    "hex": make.hex(32),
    "b64": make.base64(40) + "==",
    "url": make.alnum(20) + "%2F" + make.alnum(20) + "%3D",
    "uuid": make.uuid(),
    "basic": base64.b64encode(b"user:hunter2!").decode(),
    "word": "sword" + "fish",
    "words": "battery horse " + "staple",
}

# Each {name} is a secret that is redacted, and all else stays.
BY_NAME = r"""
aws_secret_access_key={b64}
aws_secret_access_key = {b64} and the region
AWS_SECRET_ACCESS_KEY: {b64}
SecretAccessKey: {b64}
"SecretAccessKey": "{b64}"
<SecretAccessKey>{b64}</SecretAccessKey>
aws_session_token={b64}
"SessionToken": "{b64}"
secretAccessKey='{b64}'
X-Amz-Security-Token={b64}&X-Amz-Signature={hex}
X-Goog-Signature={hex}
client_secret={s}
client_secret={s}&grant_type=client_credentials
"client_secret": "{s}"
\"client_secret\": \"{s}\", \"x\": 1
\\"client_secret\\": \\"{s}\\"
clientSecret: '{s}'
client_secret%3D{s}%26grant_type%3Dx
AZURE_CLIENT_SECRET={s}
Invalid client secret {s}
DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={b64};EndpointSuffix=core.windows.net
Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={b64}
https://acc.blob.core.windows.net/c/b?sv=2021-06-08&se=2025-01-01&sr=b&sp=r&sig={url}
SharedAccessSignature sr=https%3a%2f%2fx&sig={url}&se=1700000000&skn=Root
https://f.azurewebsites.net/api/x?code={b64}
MISTRAL_API_KEY={s}
export OPENAI_API_KEY={s}
COHERE_API_KEY="{s}"
FOO_API_KEY: {s}
FOO_API_KEY_2={s}
API_KEY_PROD={s}
FOO_TOKEN={s}
FOO_SECRET={s}
GROQ_KEY={s}
SECRET_KEY_BASE={s}
DB_PASSWORD={s}
DB_PASS={s}
PGPASSWORD={s}
MYSQL_PWD={s}
JWT_SECRET={s}
VERCEL_TOKEN={s}
TWILIO_AUTH_TOKEN={hex}
SUPABASE_SERVICE_ROLE_KEY={s}
DD_APPLICATION_KEY={hex}
password={s}
password={word}
password: {word}, user: bob
Password={s};User ID=sa
password: {s}, user: bob
password={s}&x=1
Password={s};User ID=sa
Pwd={s};
"password": "{words}"
"password":"{word}"
{'passwd': '{s}'}
passphrase={s}
password is {s}
password '{s}' is wrong
secret: {s}
shared secret {s}
webhook_secret={s}
encryption_key={s}
license key: {s}
api_key={s}
api-key: {s}
api key: {s}
apikey={s}
apiKey: "{s}"
api_key='{s}'
api_key := {s}
api_key => {s}
api_key -> '{s}'
api_key: SecretStr('{s}')
api_keys=['{s}', '{hex}']
"api_keys": ["{s}"]
auth=('user', '{s}')
_authToken={s}
//registry.example.com/:_authToken={s}
API key {hex}
API key {hex} is not valid
API key '{s}' is not valid
API key ({s}) is invalid
The api key `{s}` does not exist
Your api key is {hex}
api token {s}
api token {hex} was revoked
invalid api token: {s}
access token {s} expired
Invalid API key: {s}
Incorrect API key provided: {s}. You can find your API key at https://platform.openai.com/account/api-keys.
Incorrect API key provided: {word}. You can find your API key at https://platform.openai.com/account/api-keys.
Incorrect API key provided: '{s}'
Received API Key = {s}, Key Hash
LiteLLM Virtual Key expected. Received={s}, expected to start with 'sk-'.
invalid key: {hex}
wrong key {hex}
your key {hex} has no budget
invalid token {hex}
token={s}
token: {hex}
"token": "{s}"
auth_token={s}
access_token={s}
"access_token":"{s}","token_type":"Bearer","expires_in":3600
refresh_token={s}
id_token={s}
x-api-key: {s}
X-Api-Key:{s}
X-API-KEY={s}
x-goog-api-key: {s}
Ocp-Apim-Subscription-Key: {hex}
xi-api-key: {hex}
DD-API-KEY: {hex}
X-Auth-Token: {s}
X-Vault-Token: {s}
PRIVATE-TOKEN: {s}
X-Functions-Key: {s}
headers={'x-api-key': '{s}', 'accept': '*/*'}
Headers([('x-api-key', '{s}'), ('accept', '*/*')])
[(b'x-api-key', b'{s}'), (b'accept', b'*/*')]
[["x-api-key", "{s}"]]
{"name": "x-api-key", "value": "{s}"}
--api-key {s}
--api-key={s}
--password {s}
https://host/v1?key={s}&a=1
https://host/v1?a=1&api_key={s}
https://host/v1?token={s}
https://host/v1?access_token={s}&x=1
https://host/v1?a=1&amp;key={s}
https://host/v1?a=1\u0026key={s}
https%3A%2F%2Fhost%2Fv1%3Fkey%3D{s}%26a%3D1
%22api_key%22%3A%22{s}%22
%7B%22api_key%22%3A%20%22{s}%22%7D
&quot;api_key&quot;: &quot;{s}&quot;
api_key\u003d{s}
Authorization: Bearer {s}
authorization: bearer {s}
Authorization: Bearer {uuid}
"Authorization": "Bearer {s}"
'authorization': 'Bearer {s}'
\"Authorization\": \"Bearer {s}\"
(b'authorization', b'Bearer {s}')
{"name":"authorization","value":"Bearer {s}"}
{"Authorization": "{word}"}
Authorization: Basic {basic}
authorization: basic {basic}
Proxy-Authorization: Basic {basic}
tried Basic {basic}
Authorization: Token {hex}
Authorization: ApiKey {s}
Authorization: Api-Key {s}
Authorization: {s}
Authorization: {hex}
Authorization: Bot {s}
Authorization: SSWS {s}
Authorization: Negotiate {b64}
Authorization: GenieKey {uuid}
Authorization%3A%20Bearer%20{s}
Authorization=Bearer+{s}
curl https://host/v1 -H "Authorization: Bearer {s}"
Bearer {s}
bearer {s} is expired
bearer: {s}
"bearer": "{s}"
bearer={s}
jwt={s}
"jwt": "{s}"
using key {hex}
the key "{hex}" is invalid
secret {s} was refused
the secret "{s}" is unknown
client_assertion={s}&client_assertion_type=jwt-bearer
code_verifier={s}&grant_type=authorization_code
"code_verifier": "{s}"
session={hex}
"session": "{s}"
sessionid={hex}
https://host/a;jsessionid={hex}
JSESSIONID={hex}
PHPSESSID={hex}; path=/
connect.sid={hex}
PGPASS={s}
GH_PAT={s}
mysql -p{s} -u root
mysqldump -h db -uroot -p{s} shop
curl -u user:{s} https://host/v1
curl -u 'user:{s}' https://host/v1
curl -s --user bob:{word} https://host/v1
curl --proxy-user=bob:{s}
["curl", "-u", "user:{s}"]
der Schlüssel {hex} ist ungültig
Ungültiger API-Schlüssel: {hex}
Passwort {hex}
la clé {hex} est invalide
Clé API invalide : {hex}
mot de passe « {hex} » refusé
La clave {hex} no es válida
Clave de API incorrecta: {hex}
contraseña incorrecta: {hex}
密钥 {hex} 无效
无效的密钥 {hex}。
API キー {hex} が無効です
APIキー「{hex}」
неверный ключ {hex}
пароль: {hex}
API 키 {hex}
Ungültiger Schlüssel: {uuid}
la clave {uuid} no es válida
无效的密钥 {uuid}
неверный ключ {uuid}
body: {\"auth\": \"{hex}\"}
body: {\"session\": \"{hex}\"}
body: {\"sessionid\":\"{hex}\"}
body: {\"phpsessid\": \"{hex}\"}
body: {\"connect.sid\": \"{hex}\"}
body: {\"client_assertion\": \"{hex}\"}
body: {\"code_verifier\": \"{hex}\"}
Bearer '{s}'
postgres://{s}@host:5432/db
https://{hex}@o12345.ingest.sentry.io/456
postgres:\/\/{s}@host
https://hooks.slack.com/services/{s}
https:\/\/hooks.slack.com\/services\/{s}
https://discord.com/api/webhooks/{s}
https://acme.webhook.office.com/webhookb2/{s}
https://outlook.office.com/webhook/{s}
https://outlook.office365.com/webhook/{s}
https://hooks.zapier.com/hooks/catch/{s}
"""


@pytest.mark.parametrize("template", BY_NAME.strip().splitlines())
@pytest.mark.parametrize(
    "surrounding", ["{}", "Request failed: {}", "401 from {} (attempt 2)", "provider said:\n{}\nend"]
)
def test_a_secret_is_known_by_its_name(template: str, surrounding: str) -> None:
    """Only the value is redacted, so that readers know what was there."""
    text, clean = template, template
    for name, secret in SECRETS.items():
        text, clean = text.replace(f"{{{name}}}", secret), clean.replace(f"{{{name}}}", REDACTED)
    assert Redactor()(surrounding.replace("{}", text)) == surrounding.replace("{}", clean)


@pytest.mark.parametrize(
    "text",
    [
        "clé refusée, requête f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "неверный ключ в запросе f47ac10b-58cc-4372-a567-0e02b2c3d479",
        'the key "messages.0.content" is unknown, the key "user" too',
        "secret projects/p/secrets/openai in secret my-app-prod",
        "session=42, session: 3f9a0c17b2de48819f7c5a6e, session_id=3f9a0c17b2de48819f7c5a6e",
        "bearer: token missing, jwt: malformed, jwt=none",
        "docker run -u 1000:1000 and docker run -u root:root",
        'curl -u "$USER:$PASS" and curl -u user:<password>',
        "mysql -port 3306 and mysql -u root -p shop and mysqldump -p$MYSQL_PASSWORD, GH_PAT=$TOKEN, _pat=none",
        "Schlüsselwort llama-3.3-70b-versatile und Schlüssel fehlt",
        "密钥无权访问模型 gpt-4o-mini-2024-07-18\uff0c请求 ID\uff1a3f9a0c17b2de48819f7c5a6e0d1b2c3f",
        "API キーが無効です。リクエスト: 3f9a0c17b2de48819f7c5a6e0d1b2c3f",
        "la clave no es válida (request 3f9a0c17b2de48819f7c5a6e0d1b2c3f)",
    ],
)
def test_words_beside_what_is_no_secret_are_kept(text: str) -> None:
    """A key of an object, a numbered session, an identifier of a request, a model."""
    assert Redactor()(text) == text


@pytest.mark.parametrize("beginning", ["of", "is", "was", "with", "used", "sent", "value"])
def test_a_secret_may_begin_like_a_word_that_leads_to_it(beginning: str) -> None:
    """One in a thousand random keys does."""
    secret = f"{beginning}Q5xj7t2ydf0K5uY8iH1wOLaQan8ePs"
    assert Redactor()(f"The key {secret} is not allowed") == f"The key {REDACTED} is not allowed"
    assert Redactor()(f"API key {secret}, blocked") == f"API key {REDACTED}, blocked"


@pytest.mark.parametrize("name", ["password: ", "secret: ", "passphrase: ", "Authorization: Bearer ", "x, password: "])
def test_a_word_is_a_secret_where_a_sentence_would_go_on(name: str) -> None:
    """At the end of a line or before a comma; else, or if errors are full of it, it is a word of the sentence."""
    for end in ("", ", user: bob", "\nend", "; next", '"}'):
        assert Redactor()(f"{name}swordfish{end}") == f"{name}{REDACTED}{end}"
    for text in (f"{name}swordfish is refused", f"{name}missing", f"{name}invalid, try again", f"{name}must be given"):
        assert Redactor()(text) == text


AWS_PARAMETERS = (
    "Credential=x/20250101/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=0123abcd"
)

PEM = "\n".join(make.base64(64) for _ in range(4))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Cookie: session=abc123", f"Cookie: {REDACTED}"),
        ("Cookie: session=abc123; theme=dark and more", f"Cookie: {REDACTED} and more"),
        ("cookie: a=b,c=d", f"cookie: {REDACTED}"),
        ("Set-Cookie: sid=abc; Path=/; HttpOnly; Secure\nServer: x", f"Set-Cookie: {REDACTED}\nServer: x"),
        ("set-cookie: a=b; expires=Wed, 21-Oct-25 07:28:00 GMT; path=/", f"set-cookie: {REDACTED}"),
        ("'Set-Cookie': 'sid=abc; Path=/', 'x': 1", f"'Set-Cookie': '{REDACTED}', 'x': 1"),
        (r"\"cookie\": \"a=b; c=d\", \"x\": 1", rf"\"cookie\": \"{REDACTED}\", \"x\": 1"),
        ("[(b'cookie', b'sid=abc')]", f"[(b'cookie', b'{REDACTED}')]"),
        ("cookies={'session': 'abc', 'x': 'y'}, timeout=5", f"cookies={{{REDACTED}}}, timeout=5"),
        ('Set-Cookie: a="b c"; Path=/', f"Set-Cookie: {REDACTED}"),
    ],
)
def test_cookies_are_redacted(text: str, clean: str) -> None:
    """All of them, with their names, in a header, a dict or a list of pairs."""
    assert Redactor()(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"Authorization: AWS4-HMAC-SHA256 {AWS_PARAMETERS}", f"Authorization: AWS4-HMAC-SHA256 {REDACTED}"),
        ("Authorization: Key 3fa85f64-5717-4562:0a1b2c3d4e", f"Authorization: Key {REDACTED}"),
        ('Authorization: Digest username="bob", response="0a1b" failed', f"Authorization: Digest {REDACTED} failed"),
        ('Authorization: OAuth oauth_token="x", oauth_signature="y"', f"Authorization: OAuth {REDACTED}"),
        ("Authorization: GoogleLogin auth=abc", f"Authorization: GoogleLogin {REDACTED}"),
        ("authorization: SharedKey acc:YWJj=", f"authorization: SharedKey {REDACTED}"),
        ("Bearer  abc123def456", f"Bearer {REDACTED}"),
        ("Authorization: Bearer  abc123def456", f"Authorization: Bearer {REDACTED}"),
    ],
)
def test_every_scheme_of_authorization_is_redacted(text: str, clean: str) -> None:
    """The scheme stays, and its parameters go."""
    assert Redactor()(text) == clean


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize("newline", ["\n", "\\n", "\\\\n", "\r\n", "%0A", " "])
def test_a_private_key_is_redacted(kind: str, newline: str) -> None:
    """As a PEM block, be its newlines escaped, and also when the end is missing."""
    begin, end = (f"-----{word} {kind}PRIVATE KEY-----" for word in ("BEGIN", "END"))
    block = f"{begin}{newline}{PEM}{newline}{end}".replace("\n", newline)
    assert Redactor()(f"bad key {block}, see") == f"bad key {REDACTED}, see"
    assert Redactor()(f'{{"private_key": "{block}"}}') == f'{{"private_key": "{REDACTED}"}}'
    assert Redactor()(f"bad key {block[:150]}") == f"bad key {REDACTED}"
    assert REDACTED in Redactor()(f"PRIVATE_KEY={block[:150]}")
    assert PEM[:8] not in Redactor()(f"PRIVATE_KEY={block[:150]}")


def test_a_pgp_key_is_redacted() -> None:
    """It has headers of its own."""
    block = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v1\n\n" + PEM
    assert Redactor()(block) == REDACTED
    assert Redactor()(f"{block}\n-----END PGP PRIVATE KEY BLOCK-----\nend") == f"{REDACTED}\nend"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("POST https://user:hunter2@host/v1 failed", f"POST https://{REDACTED}@host/v1 failed"),
        ("redis://:hunter2@host/0", f"redis://{REDACTED}@host/0"),
        ("rediss://default:hunter2@host:6379", f"rediss://{REDACTED}@host:6379"),
        ("mongodb+srv://user:hunter2@c0.mongodb.net/?w=1", f"mongodb+srv://{REDACTED}@c0.mongodb.net/?w=1"),
        ("postgresql+asyncpg://user:hunter2@host/db", f"postgresql+asyncpg://{REDACTED}@host/db"),
        ("https://token123@host/", f"https://{REDACTED}@host/"),
        ("postgres://user:p/w@host", f"postgres://{REDACTED}@host"),
        ("postgres://user:p@ss@host/db?x=a@b", f"postgres://{REDACTED}@host/db?x=a@b"),
        ("mysql://root:p%40ss#1?@host/db", f"mysql://{REDACTED}@host/db"),
        ("amqp://guest:guest@h1:5672,guest:guest@h2:5672//", f"amqp://{REDACTED}@h2:5672//"),
        ("postgres%3A%2F%2Fuser%3Ahunter2%40host%2Fdb", f"postgres%3A%2F%2F{REDACTED}%40host%2Fdb"),
        ("dial user:hunter2@tcp(127.0.0.1:3306)/db", f"dial {REDACTED}@tcp(127.0.0.1:3306)/db"),
    ],
)
def test_user_and_password_in_a_url_are_redacted(text: str, clean: str) -> None:
    """Of any scheme, whatever the password is made of."""
    assert Redactor()(text) == clean
