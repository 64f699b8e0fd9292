"""How an error says where an extra comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chainlog_async.common.extras import install_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata of an installed package, without a word about where it came from."""
    folder = tmp_path / "chainlog_async-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: chainlog-async\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


ANYWHERE = "in a checkout of chainlog-async, run: pip install '.[server]'"
REPOSITORY = "https://git.example.com/chainlog-async"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (
            {"url": REPOSITORY, "vcs_info": {"vcs": "git", "commit_id": "1f"}},
            f"run: pip install 'chainlog-async[server] @ git+{REPOSITORY}'",
        ),
        (
            {"url": REPOSITORY, "vcs_info": {"vcs": "git", "commit_id": "1f", "requested_revision": "v2"}},
            f"run: pip install 'chainlog-async[server] @ git+{REPOSITORY}@v2'",
        ),
        (
            {"url": f"{REPOSITORY}/1.0.tar.gz", "archive_info": {}},
            f"run: pip install 'chainlog-async[server] @ {REPOSITORY}/1.0.tar.gz'",
        ),
        ({"url": ROOT.as_uri(), "dir_info": {}}, f"run: pip install '{ROOT}[server]'"),
        ({"url": ROOT.as_uri(), "dir_info": {"editable": True}}, f"run: pip install -e '{ROOT}[server]'"),
        (
            {"url": "file:///gone/for/good", "dir_info": {}},
            "in a checkout of chainlog-async, run: pip install '.[server]'",
        ),
        ("not that", "in a checkout of chainlog-async, run: pip install '.[server]'"),
        (None, "in a checkout of chainlog-async, run: pip install '.[server]'"),
    ],
)
def test_an_extra_comes_from_where_the_package_came_from(installed: Path, origin: object, command: str) -> None:
    """No index has the package, so the command names its repository, file or folder; else where to run it."""
    if origin is not None:
        (installed / "direct_url.json").write_text(json.dumps(origin))
    assert install_command("server") == command
