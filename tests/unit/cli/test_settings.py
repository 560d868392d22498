"""Flags, environment, cofire.toml, defaults: in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from cofire.errors import InputError
from cofire.settings import load_settings


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "COFIRE_STORE",
        "COFIRE_MEMORY",
        "COFIRE_RUNS",
        "COFIRE_REWIRES",
        "NEO4J_USERNAME",
        "NEO4J_PASSWORD",
        "NEO4J_DATABASE",
    ):
        monkeypatch.delenv(name, raising=False)


def test_each_source_goes_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().store == "./cofire-store"
    Path("cofire.toml").write_text('store = "from-file"\nmemory = "512MiB"\n')
    assert load_settings().store == "from-file"
    assert load_settings().memory == 512 * 1024**2
    monkeypatch.setenv("COFIRE_STORE", "from-environment")
    assert load_settings().store == "from-environment"
    assert load_settings(store=None).store == "from-environment"
    assert load_settings(store="from-flag").store == "from-flag"


def test_credentials_have_neo4j_names_and_stay_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_USERNAME", "ada")
    monkeypatch.setenv("NEO4J_PASSWORD", "secret")
    settings = load_settings()
    assert settings.username == "ada"
    assert settings.password is not None
    assert settings.password.get_secret_value() == "secret"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [("store = 3", "setting store"), ("colour = 'red'", "setting colour"), ("store = ", "not valid TOML")],
)
def test_a_bad_file_is_one_line(content: str, message: str) -> None:
    Path("cofire.toml").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("memory", "lots"), ("memory", "1KB"), ("resolution", -1), ("seed", -1)])
def test_a_bad_flag_is_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"setting {name} \\(--{name}\\)"):
        load_settings(**{name: value})


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COFIRE_MEMORY", "lots")
    with pytest.raises(InputError, match="COFIRE_MEMORY"):
        load_settings()


def test_variables_of_the_desktop_are_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "DATABASE"):
        monkeypatch.setenv(name, "of-the-desktop")
    settings = load_settings()
    assert (settings.username, settings.password, settings.database) == (None, None, None)
    monkeypatch.setenv("NEO4J_USERNAME", "neo4j")
    assert load_settings().username == "neo4j"
    assert load_settings(username="flag").username == "flag"
    Path("cofire.toml").write_text('database = "from-file"\n')
    assert load_settings().database == "from-file"


def test_all_that_a_setting_may_be_is_named() -> None:
    with pytest.raises(InputError, match=r"a valid number, .* or Input should be 'auto'; correct it"):
        load_settings(resolution="foo")
