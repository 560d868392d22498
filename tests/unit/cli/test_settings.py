"""Flags, environment, cofire.toml, defaults: in this order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from cofire.common.settings import Setting, settings_in
from cofire.errors import InputError
from cofire.ingest.edges.settings import CountSettings
from cofire.settings import GROUPS, StoreSettings, all_settings, load_settings


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "COFIRE_STORE",
        "COFIRE_MEMORY",
        "COFIRE_RUNS",
        "COFIRE_REWIRES",
        "COFIRE_PROCESSES",
        "NEO4J_USERNAME",
        "NEO4J_PASSWORD",
        "NEO4J_DATABASE",
    ):
        monkeypatch.delenv(name, raising=False)


def stored(**flags: Any) -> StoreSettings:
    return load_settings(**flags).of(StoreSettings)


def test_each_source_goes_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stored().store == "./cofire-store"
    Path("cofire.toml").write_text('store = "from-file"\nmemory = "512MiB"\n')
    assert stored().store == "from-file"
    assert load_settings().of(CountSettings).memory == 512 * 1024**2
    monkeypatch.setenv("COFIRE_STORE", "from-environment")
    assert stored().store == "from-environment"
    assert stored(store=None).store == "from-environment"
    assert stored(store="from-flag").store == "from-flag"


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


def test_a_setting_is_declared_once() -> None:
    found: dict[str, Setting] = {}
    for group in GROUPS:
        for name, declared in settings_in(group).items():
            assert found.setdefault(name, declared) == declared
            assert declared.help[0].islower() or declared.help.startswith(("Leiden", "Ray"))
            assert not declared.help.endswith(".")
    assert set(found) == set(all_settings())


@pytest.mark.parametrize("name", sorted(all_settings()))
def test_every_setting_can_be_given_in_every_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By flag, by environment, in the file: the same value comes out, and another one than the default."""
    declared = all_settings()[name]
    value = {"resolution": 0.5, "memory": "1GiB", "fdr": 0.5, "address": "auto", "timeout": 3.5}.get(name, "29")
    if declared.type is bool:
        value = not declared.default
    elif get_origin(declared.type) is Literal:
        value = get_args(declared.type)[-1]
    (by_flag,) = load_settings(**{name: value}).given.values()
    assert by_flag != declared.default
    monkeypatch.setenv(f"COFIRE_{name.upper()}", str(value))
    assert load_settings().given == {name: by_flag}
    monkeypatch.delenv(f"COFIRE_{name.upper()}")
    Path("cofire.toml").write_text(f"{name} = {json.dumps(by_flag)}\n")
    assert load_settings().given == {name: by_flag}
