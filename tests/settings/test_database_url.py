"""What is promised about `db_url`: its scheme chooses the engine, and what is secret in it is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async.settings import Settings
from tests.support.settings_files import refusal, write_yaml

NO_HOST = (
    "must name a host of letters, digits, hyphens, underscores and dots, with 1 to 63 characters between dots and 253 "
    "at most: http://log.example.org:4290"
)


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        (None, "sqlite"),
        ("sqlite:///a.db", "sqlite"),
        ("postgresql://u:p@one,two:5433/db?target_session_attrs=read-write", "postgres"),
        ("postgres:///db", "postgres"),
        ("http://log.example.org:4290", "remote"),
        ("http://log_1.example.org.:4290", "remote"),
        ("http://[fe80::1%25eth0]:4290", "remote"),
        ("http://bücher.example", "remote"),
        ("https://log.example.org/behind/a/proxy", "remote"),
    ],
)
def test_the_scheme_chooses_the_engine(url: str | None, engine: str) -> None:
    """No URL is SQLite at db_path."""
    assert Settings(db_url=url).engine == engine


@pytest.mark.parametrize(("url", "path"), [("sqlite:///data/o.db", "data/o.db"), ("sqlite:////srv/o.db", "/srv/o.db")])
def test_a_url_of_a_sqlite_file_is_its_path(url: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the settings finds one name of the file, db_path, as an argument and as a variable."""
    assert (Settings(db_url=url).db_path, Settings(db_url=url).db_url) == (Path(path), None)
    monkeypatch.setenv("CHAINLOG_DB_URL", url)
    assert (Settings().db_path, Settings().database) == (Path(path), path)


@pytest.mark.parametrize(
    ("url", "demand"),
    [
        ("mysql://u:hush@host/db", "must begin with http://, https://, postgresql:// or sqlite:///, not mysql:"),
        ("hush", "must begin with http://, https://, postgresql:// or sqlite:///"),
        ("http://", "must name a host and, if it has one, a port: http://log.example.org:4290"),
        ("http://host:port", "must name a host and, if it has one, a port: http://log.example.org:4290"),
        ("http://hush@host:4290", "must not contain a user or a key; set db_key instead"),
        ("http://host?key=hush", "must end after the host, port and path; remove what follows ? or #"),
        (
            "postgresql://me:hu/sh@host/db",
            "must not contain /, ?, # and @ in names and passwords; encode them, as in %2F, %3F, %23, %40",
        ),
        (f"http://{'a' * 64}.example.org", NO_HOST),
        (f"http://{'a.' * 200}org", NO_HOST),
        ("http://log..example.org", NO_HOST),
        ("http://log%20host:4290", NO_HOST),
        ("http://log host:4290", "must be a URL without spaces and control characters; encode them, as in %20"),
        ("http://host/a b", "must be a URL without spaces and control characters; encode them, as in %20"),
    ],
)
def test_a_wrong_url_is_refused_with_the_remedy_and_without_its_text(url: str, demand: str) -> None:
    """It may contain a password."""
    assert refusal(db_url=url) == f"argument db_url (its value is not shown) {demand}"


def test_secrets_are_never_shown() -> None:
    """Neither the password of a URL nor the key appears where settings are printed, and messages name only the host."""
    settings = Settings(db_url="postgresql://me:hush@host:5432/log?password=hush", db_key="hush-hush")
    assert "hush" not in f"{settings} {settings!r} {settings.db_url!r} {settings.database}"
    assert settings.database == "postgresql://host:5432/log"


def test_the_file_of_an_option_wins_over_the_url_of_a_file(tmp_path: Path) -> None:
    """An argument of None takes the URL of the YAML file away."""
    path = write_yaml(tmp_path, "settings: {db_url: 'http://host:4290'}")
    assert Settings.load(path).database == "http://host:4290"
    assert Settings.load(path, db_path="other.db", db_url=None).engine == "sqlite"
