"""Odd command lines and files: each is done or ends in one line, in bounded time and memory, and leaves nothing.

What must hold is in `watched.faults`; how a case is made from its number, in `odd_inputs`. The suite tries the first
numbers, `scripts/soak inputs` hundreds. Some alone: COFIRE_TEST_INPUT=NUMBER,NUMBER, this file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cofire.store import Store
from effort import INPUTS, ROUND
from graphs import wipe
from odd_inputs import KINDS, case_of
from odd_world import World, make_world
from watched import Case, Limits, faults, run, tree

ALONE = os.environ.get("COFIRE_TEST_INPUT")
NUMBERS = [*map(int, ALONE.split(","))] if ALONE else range(ROUND * INPUTS, (ROUND + 1) * INPUTS)


@pytest.fixture(scope="module")
def store(embedded_session_store: Store) -> Iterator[Store]:
    wipe(embedded_session_store)
    yield embedded_session_store
    wipe(embedded_session_store)


@pytest.fixture(scope="module")
def world(store: Store, tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), store)


def size(store: Store) -> list[tuple[object, ...]]:
    return store.read("MATCH (n) RETURN labels(n)[0] AS label, count(*) AS n ORDER BY label").rows


@pytest.mark.parametrize("number", NUMBERS)
def test_an_odd_input(number: int, world: World, store: Store, tmp_path: Path) -> None:
    case = case_of(number, world, tmp_path / "case")
    before, held = tree(case.place), size(store)
    outcome = run(case, world.shared)
    found = faults(case, before, outcome)
    if size(store) != held:
        found.append(f"the store that it was to read is another: {held}, now {size(store)}")
    shown = "\n  ".join(found)
    assert not found, (
        f"input {number} ({case.title}): exit {outcome.code} in {outcome.seconds:.1f} s, {outcome.memory >> 20} MiB\n"
        f"  {shown}\n$ {case.shown()}\n{outcome.stderr[-3000:].decode(errors='backslashreplace')}\n"
        f"alone: COFIRE_TEST_INPUT={number} .venv/bin/python -m pytest tests/integration/test_inputs.py"
    )


def test_a_case_is_made_from_its_number_alone(world: World, tmp_path: Path) -> None:
    for number in range(2 * len(KINDS)):
        made = [case_of(number, world, tmp_path / name / str(number)) for name in ("one", "two")]
        assert made[0].shown().replace("/one/", "/two/") == made[1].shown()


# --- what is found: each of these is one fault more than `GOOD` ---

GOOD = "import sys; print('[]')"
REFUSED = "import sys; print('cofire: x: no such file; give another', file=sys.stderr); sys.exit(2)"
BAD: dict[str, tuple[str, str]] = {
    "exit code": ("raise SystemExit(1)", "exit 1, where"),
    "a signal": ("import os; os.kill(os.getpid(), 9)", "exit -9, where"),
    "a trace": ("import sys; print('Traceback (most recent call last):', file=sys.stderr)", "stderr has 'Traceback'"),
    "a warning": ("import warnings; warnings.warn('x', RuntimeWarning)", "stderr has 'RuntimeWarning'"),
    "a fault of ours": (REFUSED.replace("no such", "a fault of cofire"), "stderr has 'a fault of cofire'"),
    "no line": ("raise SystemExit(2)", "exit 2 with 0 lines"),
    "two lines": (REFUSED.replace("sys.exit", "print('cofire: y', file=sys.stderr); sys.exit"), "exit 2 with 2 lines"),
    "an error that is none": (REFUSED.replace("exit(2)", "exit(0)"), "exit 0 with 1 lines"),
    "control bytes": ("import sys; print('\\x1b[31m', file=sys.stderr)", "stderr has control bytes"),
    "stderr that is no text": ("import sys; sys.stderr.buffer.write(b'\\xff')", "stderr is no utf-8"),
    "stdout that is no text": ("import sys; sys.stdout.buffer.write(b'\\xff')", "stdout is no json"),
    "stdout that is no JSON": ("print('[1,')", "stdout is no json"),
    "rows and an error": ("print(1); " + REFUSED, "something on stdout"),
    "a file": ("open('left', 'w')", "left behind though it exits with 0: b'{work}/left'"),
    "a file of a refusal": ("open('out', 'w'); " + REFUSED, "left behind though it exits with 2: b'{work}/out'"),
    "a part": ("import os; os.mkdir('out'); open('out/x.part', 'w')", "a leftover: b'{work}/out/x.part'"),
    "a temporary file": ("import tempfile; tempfile.mkdtemp()", "left behind though it exits with 0: b'{place}/tmp/"),
    "a file at home": ("open('../home/x', 'w')", "left behind though it exits with 0: b'{place}/home/x'"),
    "a lost file": ("import os; os.remove('mine')", "gone though it exits with 0: b'{work}/mine'"),
    "a lost file inside": ("import os; os.remove('full/mine')", "gone though it exits with 0: b'{work}/full/mine'"),
    "a changed file": ("open('mine', 'w').write('x')", "changed though it exits with 0: b'{work}/mine'"),
    "a process": ("import subprocess; subprocess.Popen(['sleep', '100'])", "left process"),
    "time": ("import time; time.sleep(1.2)", "took 1 s, more than 1"),
    "no end": ("import time; time.sleep(100)", "took 2 s, more than 1"),
    "memory": ("x = bytearray(200 << 20)", "MiB of memory, more than 100"),
}  # fmt: skip


def watched(place: Path, program: str) -> tuple[Case, list[str]]:
    """What is found of a program in place of cofire, with limits of a second and 100 MiB."""
    for folder in ("work", "home", "tmp", "shared", "work/full"):
        (place / folder).mkdir(parents=True)
    for mine in ("mine", "full/mine"):
        (place / "work" / mine).write_text("mine")
    writes, keeps = (place / "work/out", place / "work/full"), (place / "work/full/mine",)
    case = Case(-os.getpid(), "", place, ("-c", program), writes=writes, keeps=keeps, forked=False, output="json")
    limits, before = Limits(seconds=1.0, memory=100 << 20, ending=0.5), tree(place)
    outcome = run(case, place / "shared", (sys.executable, "-S"), limits)
    if outcome.seconds > 1 and "sleep" not in program:  # a busy machine
        outcome = replace(outcome, seconds=0.5)
    return case, faults(case, before, outcome, limits)


@pytest.mark.parametrize("program", [GOOD, REFUSED], ids=["done", "refused"])
def test_nothing_is_found_where_all_is_well(program: str, tmp_path: Path) -> None:
    assert watched(tmp_path / "x", program)[1] == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_found(name: str, tmp_path: Path) -> None:
    program, said = BAD[name]
    if "print" not in program and "stdout" not in program and "SystemExit" not in program:
        program = f"{program}\nprint('[]')"
    case, found = watched(tmp_path / "x", program)
    wanted = said.format(work=case.work, place=case.place)
    assert any(line.startswith(wanted) or wanted in line for line in found), found
