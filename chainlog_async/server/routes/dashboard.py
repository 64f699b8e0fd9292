"""``GET /`` and ``GET /static/…``: the page of the dashboard and its files, which hold no data and need no API key."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import chainlog_async
from chainlog_async.common.extras import install_command
from chainlog_async.errors import MissingExtraError
from chainlog_async.server.paths import HOME_PATH, STATIC_PREFIX

INDEX_FILE = "index.html"
CHART_LIBRARY = "django/static/chartkick/Chart.bundle.js"
"""Where the package chartkick has Chart.js, bundled with the adapter that its time axis needs."""

STATIC_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

STYLES = tuple(
    f"styles/{name}.css"
    for name in (
        "colours",
        "layout",
        "controls",
        "header",
        "panels",
        "tables",
        "details",
        "notices",
        "phone",
        "contrast",
    )
)
"""The style sheets, in the order in which a later one has the last word."""

# The last two directives stop even the page's own scripts from turning a string into markup or code.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class StaticFile(NamedTuple):
    """A file to be sent, plain and compressed."""

    media_type: str
    plain: bytes
    zipped: bytes


class StaticFiles(NamedTuple):
    """The page, the files it loads by name, and a digest of all, under which they may be cached indefinitely."""

    digest: str
    page: StaticFile
    by_name: dict[str, StaticFile]


class Dashboard:
    """The dashboard, whose URLs are all relative, so that the service can be mounted under any path."""

    def __init__(self) -> None:
        self._files: StaticFiles | None = None

    def routes(self) -> list[Route]:
        """Returns the routes of the page and its files, which the OpenAPI document leaves out."""
        return [
            Route(HOME_PATH, self.page, include_in_schema=False),
            Route(STATIC_PREFIX + "{digest}/{name:path}", self.file, include_in_schema=False),
        ]

    async def page(self, request: Request) -> Response:
        """Sends the page, which browsers must revalidate, so that an upgrade takes effect at once."""
        files = await self._load()
        return _reply(request, files.page, files.digest, "no-cache")

    async def file(self, request: Request) -> Response:
        """Sends a file of the page. Raises `HTTPException` (404)."""
        files = await self._load()
        file = files.by_name.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        # A page from before an upgrade requests the old digest, under which the new file must not be cached.
        current = request.path_params["digest"] == files.digest
        return _reply(request, file, files.digest, "public, max-age=31536000, immutable" if current else "no-cache")

    async def _load(self) -> StaticFiles:
        if self._files is None:
            self._files = await to_thread.run_sync(_read_files)
        return self._files


def _read_files() -> StaticFiles:
    bodies = dict(_files_in(files("chainlog_async.server").joinpath("static")))
    try:
        bodies["chart.js"] = files("chartkick").joinpath(CHART_LIBRARY).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise MissingExtraError(f"the dashboard needs chartkick ({error}); {install_command('server')}") from error
    digest = hashlib.sha256(chainlog_async.__version__.encode())
    for name in sorted(bodies):
        digest.update(bodies[name])
    short = digest.hexdigest()[:16]
    page = bodies[INDEX_FILE].decode()
    for place, links in (
        ("{{styles}}", _links("stylesheet", STYLES)),
        ("{{preload}}", _links("modulepreload", _modules(bodies))),
    ):
        page = page.replace(place, links)
    bodies[INDEX_FILE] = page.replace("{{static}}", f"{STATIC_PREFIX[1:]}{short}").encode()
    by_name = {
        name: StaticFile(STATIC_MEDIA_TYPES[name.rpartition(".")[2]], body, gzip.compress(body, mtime=0))
        for name, body in bodies.items()
    }
    return StaticFiles(short, by_name.pop(INDEX_FILE), by_name)


def _files_in(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for file in folder.iterdir():
        if file.is_dir():
            yield from _files_in(file, f"{prefix}{file.name}/")
        else:
            yield prefix + file.name, file.read_bytes()


def _links(rel: str, names: Iterable[str]) -> str:
    return "\n  ".join(f'<link rel="{rel}" href="{{{{static}}}}/{name}">' for name in names)


def _modules(names: Iterable[str]) -> list[str]:
    """The modules in folders: the page names them all, so that none waits until another one imports it."""
    return sorted(name for name in names if "/" in name and name.endswith(".js"))


def _reply(request: Request, file: StaticFile, digest: str, cache_control: str) -> Response:
    headers = SECURITY_HEADERS | {"Cache-Control": cache_control, "ETag": f'W/"{digest}"', "Vary": "Accept-Encoding"}
    if digest in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.zipped, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)
    return Response(file.plain, headers=headers, media_type=file.media_type)
