"""Access control: a client needs an API key or, when no keys are set, must be on this machine.

What its key may do is checked by each route; see `http.rights`.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from chainlog_async.server.http.responses import ApiError
from chainlog_async.server.http.rights import RIGHTS, Rights
from chainlog_async.settings import ScopedKey, ServerSettings

from .loopback import is_loopback
from .paths import DOCS_PATH, HEALTH_PATH, HOME_PATH, STATIC_PREFIX

NO_RIGHTS = Rights(may_read=False, may_write=False)
"""Those of a request to a path that needs no key."""

PUBLIC_PATHS = frozenset({HOME_PATH, *(f"{path}{end}" for path in (HEALTH_PATH, DOCS_PATH) for end in ("", "/"))})
"""Answered without a key, besides the files of the pages."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class AccessControl:
    """ASGI middleware that refuses requests without access with 401, 403 or 421, and passes on all others."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._keys = [_rights_of(key) for key in settings.api_keys]
        self._own_host = settings.host.lower()
        self._origins = frozenset(settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses the request, or passes it on with its rights."""
        if scope["type"] == "http":
            try:
                scope[RIGHTS] = self._rights(scope)
            except ApiError as refusal:
                await refusal.reply()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _rights(self, scope: Scope) -> Rights:
        if self._keys:
            return self._rights_by_key(scope)
        refusal = _refuse_remote_client(scope) or self._refuse_cross_site(scope)
        if refusal is not None:
            raise refusal
        return Rights()

    def _rights_by_key(self, scope: Scope) -> Rights:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in PUBLIC_PATHS or path.startswith(STATIC_PREFIX):
            return NO_RIGHTS
        # Raw bytes: hmac.compare_digest refuses text that is not ASCII.
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token:
            raise _unauthorized(
                "Missing or invalid API key. Provide a valid key in the Authorization header as Bearer <key>."
            )
        # Every key is compared, so that the response time does not reveal which one nearly matched.
        matching = [rights for key, rights in self._keys if hmac.compare_digest(token, key)]
        if not matching:
            raise _unauthorized("Invalid API key provided.")
        return matching[0]

    def _refuse_cross_site(self, scope: Scope) -> ApiError | None:
        # Without keys, other sites could get in through a browser on this machine: their name may resolve to 127.0.0.1,
        # which Host reveals, and their pages may post here, which Origin reveals.
        headers = Headers(scope=scope)
        for host in headers.getlist("host"):
            if not self._is_ours(f"//{host}"):
                return ApiError(
                    421,
                    f"the host {host!r} is not this machine; use 127.0.0.1 or localhost, or set server.api_keys",
                    "host_not_allowed",
                )
        for origin in headers.getlist("origin"):
            if scope["method"] not in SAFE_METHODS and origin not in self._origins and not self._is_ours(origin):
                return ApiError(
                    403,
                    f"pages of {origin!r} may not write here; add it to server.cors_origins, or set server.api_keys "
                    "and send one of the keys",
                    "origin_not_allowed",
                )
        return None

    def _is_ours(self, url: str) -> bool:
        try:
            name = urlsplit(url).hostname or ""
        except ValueError:
            return False
        return bool(name) and (is_loopback(name) or name == self._own_host)


def _rights_of(key: SecretStr | ScopedKey) -> tuple[bytes, Rights]:
    if isinstance(key, ScopedKey):
        rights = Rights(may_read=key.can == "read", may_write=key.can == "write", caller=key.caller)
        return key.key.get_secret_value().encode(), rights
    return key.get_secret_value().encode(), Rights()


def _refuse_remote_client(scope: Scope) -> ApiError | None:
    # Without keys `serve` only listens on loopback, but another server may run the application on any address.
    client = scope.get("client")
    if client is None or is_loopback(client[0]):
        return None
    return ApiError(403, "clients on other machines need an API key; set server.api_keys", "client_not_allowed")


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
