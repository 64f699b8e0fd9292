"""What is promised about the package as a whole: its names, their documentation, and what importing it costs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chainlog_async
from chainlog_async import errors

PUBLIC = [
    "Attempt",
    "BudgetStatus",
    "CacheSavings",
    "ChainLog",
    "ChainUsage",
    "ChainlogError",
    "Health",
    "Histogram",
    "LatencyPoint",
    "LoggedAttempt",
    "LoggedRequest",
    "Percentiles",
    "ProviderHealth",
    "ProviderUsage",
    "RequestFilter",
    "RequestLogEntry",
    "RequestLogRow",
    "RequestLogger",
    "RequestPage",
    "Settings",
    "Statistics",
    "SummaryStats",
    "UsageAggregator",
    "UsageFilter",
    "UsagePoint",
    "UsageQuery",
    "Window",
    "__version__",
    "describe_calls",
    "initialize_database",
    "migrate_schema",
]

PACKAGE = Path(chainlog_async.__file__).parent


def imported_by(statement: str) -> set[str]:
    """Give the modules that a fresh interpreter has after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(done.stdout.split())


def test_the_public_names_are_these() -> None:
    """A name that is added to, or lost from, what the package offers is noticed; they are sorted."""
    assert chainlog_async.__all__ == PUBLIC == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """Each name can be imported, and each class and function says what it is, as do their public members."""
    value = getattr(chainlog_async, name)
    if name == "__version__":
        return
    assert inspect.getdoc(value)
    own = [member for member in vars(value) if not member.startswith("_")] if inspect.isclass(value) else []
    functions = [member for member in own if inspect.isroutine(getattr(value, member))]
    assert [member for member in functions if not inspect.getdoc(getattr(value, member))] == []


def test_a_star_import_gives_every_name() -> None:
    """`from chainlog_async import *` works, names that are imported late included."""
    names: dict[str, object] = {}
    exec("from chainlog_async import *", names)
    assert set(PUBLIC) <= set(names)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    """A misspelt name fails as it does in every module."""
    with pytest.raises(AttributeError, match="'chainlog_async' has no attribute 'Setings'"):
        chainlog_async.Setings  # noqa: B018  # the access is what fails


def test_the_version_is_one_of_a_release() -> None:
    """`__version__` is three numbers."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", chainlog_async.__version__)


def test_importing_it_is_cheap() -> None:
    """A gateway that imports the package gets neither pydantic nor yaml, and nothing that only the service needs."""
    heavy = {"click", "prometheus_client", "pydantic", "pydantic_settings", "rich", "starlette", "uvicorn", "yaml"}
    assert not imported_by("import chainlog_async") & heavy
    assert "pydantic" in imported_by("from chainlog_async import Settings")


def test_the_asgi_middleware_needs_no_framework() -> None:
    """A gateway of any framework gets the middleware without Starlette, pydantic or an extra."""
    heavy = {"click", "httpx", "pydantic", "rich", "starlette", "uvicorn", "yaml"}
    assert not imported_by("import chainlog_async.integrations.asgi") & heavy


def test_settings_need_nothing_of_the_service() -> None:
    """The core, its settings included, runs without the extra `server`."""
    extra = {"click", "prometheus_client", "rich", "starlette", "uvicorn"}
    assert not imported_by("import chainlog_async\nchainlog_async.ChainLog()") & extra


def test_the_service_waits_for_a_scrape_before_it_imports_prometheus() -> None:
    """Who is never scraped does not pay for it."""
    assert "prometheus_client" not in imported_by("import chainlog_async.server")


def test_every_error_says_what_it_means() -> None:
    """Each error has a documentation of its own, and is one of ours."""
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert all(issubclass(value, chainlog_async.ChainlogError) for value in classes)
    assert all(value.__doc__ for value in classes)
    tree = str(errors.__doc__)
    assert [value.__name__ for value in classes if value.__name__ not in tree] == []
