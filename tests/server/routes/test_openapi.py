"""``GET /openapi.json``: what it says is what the running service does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
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


def described() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each route with its name."""
    for path, methods in DOCUMENT["paths"].items():  # type: ignore[attr-defined]  # an object
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def components() -> dict[str, dict[str, Any]]:
    """The schemas that have a name."""
    return DOCUMENT["components"]["schemas"]  # type: ignore[index,no-any-return]  # an object


def whole(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that a validator can read on its own."""
    return {**schema, "components": {"schemas": components()}}


def test_every_schema_and_property_is_described() -> None:
    """Each has a sentence, and each property of a simple type an example that its schema accepts."""
    for name, schema in components().items():
        assert schema.get("description"), name
        for key, one in schema["properties"].items():
            assert len(one.get("description", "")) > 8, f"{name}.{key}"
            for example in one.get("examples", []):
                jsonschema_rs.validate(whole(one), example)
            assert "examples" in one or "$ref" in json.dumps(one), f"{name}.{key}"


def test_every_route_has_a_summary_a_tag_and_examples() -> None:
    """Parameters have a description and an example, and bodies in JSON an example that their schema accepts."""
    tags = {tag["name"] for tag in DOCUMENT["tags"]}  # type: ignore[attr-defined]  # an object
    used = set()
    for name, operation in described():
        assert operation["summary"].endswith("."), name
        (tag,) = operation["tags"]
        used.add(tag)
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], name
            jsonschema_rs.validate(parameter["schema"], parameter["schema"]["examples"][0])
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            content = body.get("content", {}).get("application/json")
            if content is not None:
                jsonschema_rs.validate(whole(content["schema"]), content["example"])
    assert used == tags


def test_errors_have_one_shape() -> None:
    """An answer with an error is an `ErrorReply`, but for bodies that say what became of each entry, and health."""
    others = {"get /health": "HealthReply"} | dict.fromkeys(("post /v1/logs", "post /v1/logs/litellm"), "IntakeReply")
    for name, operation in described():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                refs = set(re.findall(r'schemas/(\w+)"', json.dumps(answer["content"]["application/json"]["schema"])))
                assert refs <= {"ErrorReply", others.get(name)}, (name, status)
