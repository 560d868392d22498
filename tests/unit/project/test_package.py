"""The package as it is shipped: links, wheel, sdist, public names, start-up."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from repository import ROOT


@pytest.mark.parametrize("name", ["ingest", "schema", "queries", "analysis"])
def test_the_folders_at_the_top_are_links_into_the_package(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == (ROOT / "src/cofire" / name).resolve()
    assert (link / "__init__.py").is_file()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    # With the setuptools of this environment: what has to be fetched can fail.
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def sources() -> set[str]:
    package = ROOT / "src/cofire"
    endings = {".py", ".cypher", ".j2", ".typed"}
    return {f"cofire/{p.relative_to(package)}" for p in package.rglob("*") if p.suffix in endings}


def test_wheel_holds_each_file_once(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = Counter(zipfile.ZipFile(wheel).namelist())
    assert max(names.values()) == 1
    assert {n for n in names if ".dist-info/" not in n} == sources()


def test_sdist_holds_each_file_once(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = Counter(m.name.split("/", 1)[1] for m in archive.getmembers() if m.isfile() and "/" in m.name)
        links = [m.name for m in archive.getmembers() if m.issym() or m.islnk()]
    assert not links
    assert max(names.values()) == 1
    assert {n for n in names if n.startswith("src/cofire/")} == {f"src/{n}" for n in sources()}
    assert not [n for n in names if n.split("/")[0] in {"ingest", "schema", "queries", "analysis"}]


def test_public_names_are_pinned() -> None:
    import cofire

    assert sorted(cofire.__all__) == [
        "CaptureError",
        "CofireError",
        "ConflictError",
        "InputError",
        "KnowledgeBase",
        "QueryError",
        "SchemaError",
        "StoreBusy",
        "StoreError",
        "TimeLimit",
        "WriteRefused",
        "__version__",
    ]
    assert all(hasattr(cofire, name) for name in cofire.__all__)


@pytest.mark.parametrize("statement", ["import cofire", "from cofire.cli.app import app"])
def test_starting_up_imports_nothing_heavy(statement: str) -> None:
    heavy = ("torch", "sae_lens", "transformer_lens", "pandas", "matplotlib", "igraph", "leidenalg", "neo4j", "scipy")
    heavy += ("numba", "ray", "triton")
    code = f"import sys; {statement}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_no_file_is_longer_than_400_lines() -> None:
    long = {p: n for p in (ROOT / "src").rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long
