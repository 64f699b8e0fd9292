"""How to install an extra of this package, from wherever it came from: no package index has it."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

_NAME: Final = "chainlog-async"


def install_command(extra: str) -> str:
    """Returns the command that installs the extra, for an error message.

    It names the repository, file or folder from which pip installed this package, if that is known and still there,
    and otherwise says where to run it.
    """
    origin = _origin()
    if origin is None:
        return f"in a checkout of chainlog-async, run: pip install '.[{extra}]'"
    options, requirement = origin
    return f"run: pip install {options}{shlex.quote(requirement.format(extra=extra))}"


def _origin() -> tuple[str, str] | None:
    """Returns pip's options and requirement, with ``{extra}`` in it; None when the origin is unknown or gone."""
    try:
        # pip writes this file for what it did not get from an index: PEP 610.
        origin = json.loads(distribution(_NAME).read_text("direct_url.json") or "")
        url, version_control = origin["url"], origin.get("vcs_info")
        is_editable = origin.get("dir_info", {}).get("editable", False)
    except (PackageNotFoundError, OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    if version_control:
        revision = version_control.get("requested_revision")
        return "", f"{_NAME}[{{extra}}] @ {version_control['vcs']}+{url}{f'@{revision}' if revision else ''}"
    if not url.startswith("file:"):
        return "", f"{_NAME}[{{extra}}] @ {url}"
    place = Path(url2pathname(urlsplit(url).path))
    if not (place.is_file() or (place / "pyproject.toml").is_file()):
        return None
    return "-e " if is_editable else "", f"{place}[{{extra}}]"
