"""The order of the rooms of src/cofire: who may import whom. What only a type check needs counts as an import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from repository import ROOT

SOURCES = ROOT / "src"

# Each line may import the lines above it and itself; the names of one line do not know each other.
ORDER = {
    "cofire": [
        {"errors"},
        {"common"},
        {"schema"},
        {"ingest"},
        {"analysis", "store", "worlds"},
        {"settings"},
        {"pipeline"},
        {"queries"},
        {""},
        {"cli"},
    ],
    "cofire.ingest": [
        {"capture_dir"},
        {"noise"},
        {"latents"},
        {"pairs"},
        {"edges", "capturing"},
        {"direct"},
        {"count_tokens"},
        {"capture", "count", "import_activations"},
    ],
    "cofire.analysis": [
        {"clusters", "activations", "motifs"},
        {"nulls", "functions", "subspaces", "stars", "report"},
        {"structure_function"},
        {"analyses"},
        {"analyze"},
    ],
    "cofire.store": [
        {"packed", "latent_texts"},
        {"plan", "lexer", "values", "embedded", "faults", "calls", "place"},
        {"guard", "results", "connection"},
        {"connect"},
        {"migrations"},
        {"versions"},
        {"opening"},
        {""},
        {"load", "export"},
    ],
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted((SOURCES / "cofire").rglob("*.py"))}


def imported(path: Path) -> Iterator[str]:
    """The modules of cofire that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{name.name}" for name in node.names]
            yield from (name if name in MODULES else node.module for name in names if name.split(".")[0] == "cofire")
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "cofire")


IMPORTS = {module: set(imported(path)) - {module} for module, path in MODULES.items()}


def room_in(package: str, module: str) -> str | None:
    """What lies directly in a package and holds the module; '' is the package itself, None what is outside."""
    if module == package:
        return ""
    return module.removeprefix(f"{package}.").split(".")[0] if module.startswith(f"{package}.") else None


def folder_of(module: str) -> str:
    """The folder of a module; a module at the top stands for itself."""
    folder = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    return module if folder == "cofire" else folder


def test_everything_is_looked_at() -> None:
    assert len(MODULES) > 150
    assert sum(map(len, IMPORTS.values())) > 500
    assert not {name for names in IMPORTS.values() for name in names} - set(MODULES)


@pytest.mark.parametrize("package", ORDER)
def test_rooms_import_in_one_direction(package: str) -> None:
    place = {room: number for number, rooms in enumerate(ORDER[package]) for room in rooms}
    wrong = []
    for module, names in IMPORTS.items():
        here = room_in(package, module)
        for name in names:
            there = room_in(package, name)
            if here is None or there is None or here == there:
                continue
            assert {here, there} <= set(place), f"{package}: {here} and {there} have no place in ORDER"
            if place[there] >= place[here]:
                wrong.append(f"{module} imports {name}")
    assert not wrong


def test_no_file_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_no_folder_imports_itself_by_way_of_others() -> None:
    folders: dict[str, set[str]] = {}
    for module, names in IMPORTS.items():
        folders.setdefault(folder_of(module), set()).update({folder_of(name) for name in names} - {folder_of(module)})
    try:
        TopologicalSorter(folders).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


# Endings of files and folders beside a database, and the settings file.
NO_MODULES = {"cofire.json", "cofire.new", "cofire.old", "cofire.ready", "cofire.toml"}
DOTTED = re.compile(r"\bcofire(?:\.(?!__)[A-Za-z_]\w*)+")


def exists(name: str) -> bool:
    """Whether a dotted name is a module of cofire, or something whose name stands in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = MODULES.get(".".join(parts[:length]))
        if module is not None:
            return length == len(parts) or re.search(rf"\b{parts[length]}\b", module.read_text("utf-8")) is not None
    return False


def test_every_dotted_name_names_something() -> None:
    code = [file for folder in ("src", "tests", "bench", "examples") for file in (ROOT / folder).rglob("*.py")]
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "pyproject.toml"]
    names = {(name, file.name) for file in (*code, *pages) for name in DOTTED.findall(file.read_text("utf-8"))}
    assert len(names) > 500
    assert not sorted((name, file) for name, file in names if name not in NO_MODULES and not exists(name))


def test_every_path_of_a_source_file_leads_to_one() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *SOURCES.rglob("*.py"), *(ROOT / "bench").glob("*.py")]
    named = {
        path
        for page in pages
        for path in re.findall(r"\b(?:src/cofire|tests|bench)/[\w/]+\.py\b", page.read_text("utf-8"))
    }
    assert len(named) > 10
    # docs/developing.md adds an analysis of this name to a copy (tests/integration/test_developing.py).
    named = {path for path in named if "steadiness" not in path}
    assert not sorted(path for path in named if not (ROOT / path).is_file())
