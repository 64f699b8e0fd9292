"""What is promised about the wheel: it holds all that the package needs, and works where the repository is not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]

TRY_IT = """
import asyncio, sys
from pathlib import Path
import chainlog_async
from chainlog_async import ChainLog, RequestLogEntry, Settings

async def main():
    entry = RequestLogEntry(chain_name="default", provider_id="groq", model="m", latency_ms=1.5, http_status=200)
    async with ChainLog(Settings(db_path=sys.argv[1])) as chainlog:
        await chainlog.write(entry)
        print((await chainlog.usage.get_summary_stats()).total_requests)

asyncio.run(main())
print(Path(chainlog_async.__file__).parent.parent)
"""


def clean_environment() -> dict[str, str]:
    """Give the environment without what could lead to the repository, or set a setting."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "CHAINLOG_"))}


def run(*command: str | Path, **environment: str) -> str:
    """Run a command outside the repository and give what it prints."""
    done = subprocess.run(
        command,
        cwd=Path(__file__).anchor,
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the repository as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    # With the build backend at hand, pip need not fetch it for an environment of its own.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Every file of the package is in it, SQL, `py.typed` and the dashboard included, and nothing else is."""
    package = ROOT / "chainlog_async"
    files = {str(path.relative_to(ROOT)) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    for name in ("py.typed", "storage/sqlite/migrations/0001_original.sql", "server/static/index.html"):
        assert f"chainlog_async/{name}" in files
    with ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == files


def test_the_wheel_names_its_command_and_its_licence(wheel: Path) -> None:
    """An installation gives the command `chainlog`, and the licence comes with it."""
    with ZipFile(wheel) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "chainlog = chainlog_async.__main__:main" in texts["entry_points.txt"]
    assert "MIT" in texts["LICENSE"]
    assert "Requires-Python: >=3.11" in texts["METADATA"]


def test_the_wheel_works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    """Installed elsewhere, it makes a database from its own SQL, writes to it and reads it."""
    elsewhere = tmp_path / "elsewhere"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", elsewhere, wheel)
    printed = run(sys.executable, "-c", TRY_IT, tmp_path / "o.db", PYTHONPATH=str(elsewhere))
    assert printed.split() == ["1", str(elsewhere)]
    assert (tmp_path / "o.db").is_file()


def test_an_extra_is_installed_from_the_wheel_that_was(wheel: Path, tmp_path: Path) -> None:
    """No index has the package: the advice for an extra names the wheel it came from, and pip takes it."""
    elsewhere = tmp_path / "elsewhere"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", elsewhere, wheel)
    code = "from chainlog_async.common.extras import install_command; print(install_command('server'))"
    advice = run(sys.executable, "-c", code, PYTHONPATH=str(elsewhere))
    assert advice == f"run: pip install '{wheel}[server]'\n"
    run(*pip, "--dry-run", f"{wheel}[server]")
