"""`scripts/soak PART`: what needs more runs than the suite can do. It goes on where it was stopped.

A part is a few rounds of some tests, each round with moments and worlds of its own. What has passed is written
down in .cache/soak/PART.jsonl, with the code; a round that failed, or passed with other code, is run again.
`scripts/soak` alone says how far each part is.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from repository import ROOT

KILL = "tests/integration/test_kill.py"


@dataclass(frozen=True)
class Part:
    """Rounds of some tests.

    Attributes:
        what: what is tried, for whoever reads the list.
        tests: pytest's arguments.
        rounds: how many times.
        environment: the effort of each round.
    """

    what: str
    tests: tuple[str, ...]
    rounds: int
    environment: dict[str, str] = field(default_factory=dict)


def _kills(what: str, test: str, rounds: int = 10, kills: int = 10) -> Part:
    return Part(f"{rounds * kills} kills of {what}", (KILL, "-k", test), rounds, {"COFIRE_TEST_KILLS": str(kills)})


PARTS = {
    "capture": _kills("a capture", "killed_captures"),
    "count": _kills("a count", "killed_counts"),
    "analyse": _kills("the analyses", "killed_analyses"),
    "load": _kills("a load into the embedded store", "killed_loads_of_the_embedded_store"),
    "bulk": _kills("a bulk load into the embedded store", "killed_bulk_loads"),
    "load-neo4j": _kills("a load into Neo4j", "killed_loads_of_neo4j"),
    "replace": _kills("a replacement in Neo4j", "killed_replacements"),
    "restarts": Part(
        "10 restarts of the server of each store while an SAE is loaded",
        ("tests/integration/test_restarts.py",),
        5,
        {"COFIRE_TEST_RESTARTS": "2"},
    ),
    "differential": Part(
        "10,000 questions to both stores and the oracle",
        ("tests/integration/test_differential.py",),
        6,
        {"COFIRE_TEST_WORLDS": "12"},
    ),
    "inputs": Part(
        "300 odd command lines and files",
        ("tests/integration/test_inputs.py", "-v"),
        10,
        {"COFIRE_TEST_INPUTS": "30"},
    ),
    "examples": Part(
        "new examples of every property (hypothesis)",
        ("tests/unit", "tests/integration/test_counts_in_store.py", "-k", "not browser"),
        3,
        {"COFIRE_TEST_EXAMPLES": "new"},
    ),
    "demo": Part(
        "the whole demo; docs/ask.md is held against it",
        ("tests/integration/test_demo.py",),
        1,
        {"COFIRE_TEST_DEMO": "full"},
    ),
}


def main(arguments: list[str]) -> int:
    """Run what is left of the parts that are named; name them all, and how far they are, where none is."""
    unknown = [name for name in arguments if name not in PARTS]
    if unknown:
        _say(f"scripts/soak: there is no part '{unknown[0]}'; there are {', '.join(PARTS)}", sys.stderr)
        return 2
    if not arguments:
        for name, part in PARTS.items():
            _say(f"{name:13} {len(_passed(name))}/{part.rounds} rounds: {part.what}")
        return 0
    return max(_run(name, PARTS[name]) for name in arguments)


def _say(text: str, to: TextIO = sys.stdout) -> None:
    to.write(text + "\n")
    to.flush()


def _record(name: str) -> Path:
    return ROOT / ".cache" / "soak" / f"{name}.jsonl"


def _code() -> str:
    """The Git tree of src, with a plus where it was changed since: rounds of other code do not count."""
    tree = _git("rev-parse", "HEAD:src")[:12]
    return tree + ("+" if _git("status", "--porcelain", "src") else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _passed(name: str) -> set[int]:
    file, code = _record(name), _code()
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {one["round"] for one in map(json.loads, lines) if one["passed"] and one["code"] == code}


def _run(name: str, part: Part) -> int:
    code, commit = _code(), _git("describe", "--always", "--dirty")
    failed = 0
    for number in sorted(set(range(1, part.rounds + 1)) - _passed(name)):
        _say(f"== {name}: round {number} of {part.rounds}")
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *part.tests],
            cwd=ROOT,
            env={**os.environ, **part.environment, "COFIRE_TEST_ROUND": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        passed = re.search(r"(\d+) passed", done.stdout)
        one = {
            "round": number,
            "passed": done.returncode == 0,
            "tests": int(passed[1]) if passed else 0,
            "minutes": round((time.monotonic() - begun) / 60, 2),
            "commit": commit,
            "code": code,
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
        }
        _record(name).parent.mkdir(parents=True, exist_ok=True)
        with _record(name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")
        _say(json.dumps(one))
        if done.returncode != 0:
            _say(done.stdout[-20_000:])
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
