"""``GET /openapi.json``: what it says is what the running service does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.routing import Route

from chainlog_async import ChainLog
from chainlog_async.common.sqlite import MODULE_VARIABLE
from chainlog_async.server import create_app
from tests.support.openapi_document import DOCUMENT, HEADERS, KEY
from tests.support.service import entry, running, service_settings
from tests.support.service_process import RUNNER

EXAMPLES = 15


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service in a process of its own, with some requests in its log and a key."""
    db_path = tmp_path_factory.mktemp("service") / "log.db"
    env = {
        name: value for name, value in os.environ.items() if not name.startswith("CHAINLOG_") or name == MODULE_VARIABLE
    }
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(db_path), "1000"],
        stdout=subprocess.PIPE,
        env=env | {"CHAINLOG_SERVER__API_KEYS": f'["{KEY}"]'},
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().split()[0]
        entries = [entry(caller=f"c{n % 3}", http_status=200 + n % 2 * 229, attempts=2) for n in range(200)]
        httpx.post(f"{url}/v1/logs", json=entries, headers=HEADERS, trust_env=False, verify=False)
        yield url
        process.send_signal(signal.SIGTERM)


# The stream has no end; tests/server/test_events.py is about it.
# Without `security`, or requests would be made that lack the key, and each is sent with it.
api = schemathesis.openapi.from_dict({name: part for name, part in DOCUMENT.items() if name != "security"}).exclude(
    path="/v1/requests/stream"
)


@api.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_the_service_does_what_it_says(service: str, case: schemathesis.Case[Any]) -> None:
    """Whatever the document allows is accepted, what it does not is refused, and every answer is as described."""
    response = case.call(base_url=service, headers=HEADERS)
    case.validate_response(response, headers=HEADERS, excluded_checks=beside_the_point(case, response))


def beside_the_point(case: schemathesis.Case[Any], response: schemathesis.Response) -> list[schemathesis.CheckFunction]:
    """Checks that a schema is too coarse for."""
    if case.method == "POST":
        # To JSON Schema 5.0 is a whole number, and an array with one bad entry is bad: here it costs that entry.
        return [positive_data_acceptance, negative_data_rejection]
    if case.method == "GET" and "?" not in str(response.request.url):
        # A parameter that is an empty list is not sent at all.
        return [negative_data_rejection]
    if response.status_code == 400:
        error = response.json()["error"]
        # Parameters, each of them right, that do not go together, such as a window that ends before it begins; or a
        # time zone, whose names no schema lists.
        if error["param"] in (None, "tz") or error["message"].startswith("the window "):
            return [positive_data_acceptance]
    return []


async def test_the_document_is_served(tmp_path: Path) -> None:
    """The running service gives the document that is tested here, with a key only, and without one asks for none."""
    async with running(service_settings(tmp_path, server={"api_keys": [KEY]}), key=KEY) as client:
        assert (await client.get("/openapi.json")).json() == DOCUMENT
        assert (await client.get("/openapi.json", headers={"Authorization": ""})).status_code == 401
    async with running(service_settings(tmp_path)) as client:
        open_document = (await client.get("/openapi.json")).json()
    assert "security" not in open_document
    assert open_document["paths"].keys() == DOCUMENT["paths"].keys()  # type: ignore[attr-defined]  # an object


async def test_every_route_is_described(tmp_path: Path) -> None:
    """No path of the service but the dashboard's is left out, and each says what it is for, under a name of its own."""
    app = create_app(ChainLog(service_settings(tmp_path)), already_running=True)
    routes = [route for route in app.routes if isinstance(route, Route) and route.include_in_schema]
    paths = dict.fromkeys(re.sub(r":\w+}", "}", route.path) for route in routes)
    assert list(paths) == list(DOCUMENT["paths"])  # type: ignore[call-overload]  # an object
