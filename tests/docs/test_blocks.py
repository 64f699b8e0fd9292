"""Every code block of every page is run, or says why it is not."""

from __future__ import annotations

import ast
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest
import yaml

from chainlog_async import Attempt, ChainLog, RequestLogEntry, Settings

from .blocks import PAGES, ROOT, Block, blocks_of

LANGUAGES = {"sh", "python", "yaml", "json", "sql", "js", "text"}
STEP_BY_STEP = ROOT / "docs" / "tutorial.md"
BLOCKS = [block for page in PAGES for block in blocks_of(page) if page != STEP_BY_STEP]
PRICES = {"groq/llama-3.1-8b-instant": {"litellm_provider": "groq", "input_cost_per_token": 5e-8}}


def to_run(language: str) -> list[Block]:
    """The blocks of a language that the rule of this language runs."""
    return [block for block in BLOCKS if block.language == language and not block.reason]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a log with a few requests, closed."""
    path = tmp_path_factory.mktemp("log") / "observability.db"
    anyio.run(_write, path)
    return path


async def _write(path: Path) -> None:
    trail = [Attempt(provider_id="groq", model="llama-3.1-8b-instant", http_status=429)]
    async with ChainLog(Settings(db_path=path)) as chainlog:
        for caller in ("search", None):
            entry = RequestLogEntry(
                chain_name="default",
                provider_id="cerebras",
                model="llama3.1-8b",
                latency_ms=412.5,
                http_status=200,
                attempts=2,
                caller=caller,
                attempt_trail=trail,
            )
            await chainlog.write(entry)


def test_every_block_has_a_language_and_is_run() -> None:
    """A block without a language, or in one that nobody runs, is noticed; a test that a comment names is there."""
    assert len(BLOCKS) > 80
    for block in BLOCKS:
        assert block.language in LANGUAGES, str(block)
        if block.reason.startswith("tests/"):
            assert (ROOT / block.reason.split()[0]).exists(), str(block)
        assert block.language != "js" or block.reason, str(block)


@pytest.mark.parametrize("block", to_run("sh"), ids=str)
def test_commands_end_well(log: Path, tmp_path: Path, block: Block) -> None:
    """Commands run as they stand, in a folder with a log and with copies of it under the names that pages use."""
    (tmp_path / "data").mkdir()
    for name in ("data/observability.db", "observability.db", "old.db", "nightly.db"):
        shutil.copyfile(log, tmp_path / name)
    (tmp_path / "model_prices_and_context_window.json").write_text(json.dumps(PRICES), "utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("CHAINLOG_")}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", block.text], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("block", to_run("python"), ids=str)
async def test_python_runs(tmp_path: Path, block: Block) -> None:
    """A piece of a handler runs with an open log named `chainlog`."""
    budgets = [{"name": "team-a", "limit_usd": 50}]
    names: dict[str, object] = {}
    code = compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with ChainLog(Settings(db_path=tmp_path / "log.db", budgets=budgets)) as chainlog:
        names["chainlog"] = chainlog
        running = eval(code, names)
        if running is not None:
            await running


@pytest.mark.parametrize("block", to_run("sql"), ids=str)
def test_sql_runs(log: Path, block: Block) -> None:
    """A query of the page about the tables names columns that are there, and finds something."""
    with closing(sqlite3.connect(log)) as database:
        assert database.execute(block.text).fetchall(), str(block)


@pytest.mark.parametrize("block", to_run("yaml"), ids=str)
def test_yaml_is_right(block: Block) -> None:
    """Settings are valid, together with those above them on the page; other files can be parsed."""
    document = parsed(block)
    if isinstance(document, dict) and "settings" in document:
        above = [parsed(one) for one in to_run("yaml") if one.page == block.page and one.line < block.line]
        settings = [one["settings"] for one in above if isinstance(one, dict) and "settings" in one]
        Settings(**{name: value for one in (*settings, document["settings"]) for name, value in one.items()})
    elif isinstance(document, dict) and "server" in document:
        Settings(server=document["server"])
    else:
        assert document


def parsed(block: Block) -> object:
    """The document of a block, with a letter in the place of what is left out."""
    return yaml.safe_load(block.text.replace("…", "x"))


@pytest.mark.parametrize("block", to_run("json"), ids=str)
def test_json_is_right(block: Block) -> None:
    """JSON can be parsed."""
    json.loads(block.text)


def test_datasettes_file_fits_the_log(log: Path) -> None:
    """Each table that docs/datasette.yaml names is there, and its queries run."""
    described = yaml.safe_load((ROOT / "docs" / "datasette.yaml").read_text("utf-8"))["databases"]["observability"]
    with closing(sqlite3.connect(log)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert set(described["tables"]) <= tables
        for table, known in described["tables"].items():
            columns = {name for (name,) in database.execute("SELECT name FROM pragma_table_xinfo(?)", (table,))}
            assert set(known.get("columns", ())) | ({known["sort_desc"]} if "sort_desc" in known else set()) <= columns
        for query in described["queries"].values():
            database.execute(query["sql"]).fetchall()
