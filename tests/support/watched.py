"""Running one command line of cofire and watching it: what it says, writes, leaves, takes. See `faults`.

Most run in a process forked from one that has imported what is slow (`jobs.fork_server`); what looks at how Python
itself starts (encodings, closed streams) runs as `cofire` does for a user.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jobs import fork_server
from processes import left_of, processes

COFIRE = (str(Path(sys.executable).with_name("cofire")),)
ANY = frozenset({0, 2, 3, 4, 5})
"""What a command may exit with that was neither interrupted nor at fault."""
MARK = "ODD_INPUT"
"""The environment variable by which a case's processes are known."""
LEFTOVER = re.compile(r"\.parts?$|^\.work-|^tmp|\.tmp$|\.partial$")
# What Python and its libraries print by themselves is nothing that a user can act on.
MOST_DATA = 6 * 2**30
"""Bytes that one process may ask for, so that the machine outlives what asks for too many."""
NOISE = re.compile(r"Traceback|a fault of cofire|\w+Warning\b|Exception ignored|Segmentation|core dumped")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Limits:
    """What a command may take: seconds, bytes of memory (of its largest process); seconds for its processes to end."""

    seconds: float = 60.0
    memory: int = 2 * 2**30
    ending: float = 10.0


USUAL = Limits()


@dataclass(frozen=True)
class Case:
    """One command line in a folder of its own.

    Attributes:
        number: which one; it is also the seed.
        title: what it tries.
        place: its folder, with `work` (the working directory), `home` and `tmp`.
        arguments: of cofire; bytes that are no UTF-8 as surrogates.
        may: the exit codes that are right.
        writes: what it may make or change when it succeeds; all else stays as it was.
        resumes: what it may leave changed when it fails, for the same command to go on with.
        keeps: files within `writes` that are the user's.
        environment: added to the usual one; None takes a variable away.
        output: what stdout holds.
        first: command lines before it, which are to succeed; of those that are forked.
        forked: in a process forked from a warm one, not one of its own.
        stdout: where it goes: a file, a full disk, or nowhere.
    """

    number: int
    title: str
    place: Path
    arguments: Sequence[str]
    may: frozenset[int] = ANY
    writes: tuple[Path, ...] = ()
    resumes: tuple[Path, ...] = ()
    keeps: tuple[Path, ...] = ()
    environment: dict[str, str | None] = field(default_factory=dict)
    output: Literal["text", "csv", "json", "parquet"] = "text"
    first: tuple[tuple[str, ...], ...] = ()
    forked: bool = True
    stdout: Literal["file", "full", "closed"] = "file"

    @property
    def work(self) -> Path:
        return self.place / "work"

    def variables(self, shared: Path) -> dict[str, str]:
        """The whole environment; `shared` holds what libraries keep from run to run."""
        usual: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.place / "home"),
            "TMPDIR": str(self.place / "tmp"),
            "MPLCONFIGDIR": str(shared / "matplotlib"),
            "HF_HOME": str(shared / "huggingface"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "COFIRE_RUNS": "2",
            "COFIRE_REWIRES": "3",
            "COFIRE_PROCESSES": "1",
            MARK: str(self.number),
        }
        return {name: value for name, value in (usual | self.environment).items() if value is not None}

    def shown(self) -> str:
        """What to type to see it, without its files."""
        given = " ".join(f"{name}={_quoted(value)}" for name, value in self.environment.items() if value is not None)
        lines = [f"cofire {' '.join(map(_quoted, line))}" for line in (*self.first, self.arguments)]
        return f"{given} {' && '.join(lines)}".strip()


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code (below 0: a signal), what it took and said, which processes it left."""

    code: int
    seconds: float
    memory: int
    stdout: bytes
    stderr: bytes
    left: dict[int, str]


def _quoted(text: str) -> str:
    short = text if len(text) <= 300 else f"{text[:300]}...({len(text)})"
    return shlex.quote(short).encode("utf-8", "backslashreplace").decode()


def run(case: Case, shared: Path, program: Sequence[str] = COFIRE, limits: Limits = USUAL) -> Outcome:
    """Run a case, to its end or to twice the time that it may take.

    Args:
        case: the case; its folder is there.
        shared: a folder that all cases share, for what libraries keep.
        program: what is run, where it is not forked.
        limits: how long it may take.
    """
    out, err, usage = (case.place / name for name in ("stdout", "stderr", "usage"))
    begun = time.monotonic()
    code = (_fork if case.forked else _start)(case, shared, program, 2 * limits.seconds)
    seconds = time.monotonic() - begun
    left = left_of(_marked(case.number), limits.ending)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    said = [file.read_bytes() if file.exists() else b"" for file in (out, err)]
    memory = int(usage.read_text()) if usage.exists() else 0
    for file in (out, err, usage):
        file.unlink(missing_ok=True)
    return Outcome(code, seconds, memory, said[0], said[1], left)


def _marked(number: int) -> dict[int, str]:
    """The processes that carry the mark of a case in their environment."""
    mark = f"{MARK}={number}".encode()
    found = {}
    for pid, (_, line) in processes().items():
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found[pid] = line
    return found


def _start(case: Case, shared: Path, program: Sequence[str], patience: float) -> int:
    out = {"file": str(case.place / "stdout"), "full": "/dev/full", "closed": os.devnull}[case.stdout]
    # The shell closes what is to be closed: `cofire ... >&-`.
    closing = ["sh", "-c", 'exec "$@" >&-', "sh"] if case.stdout == "closed" else []
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(case.place / "usage")]
    with Path(out).open("wb") as stdout, (case.place / "stderr").open("wb") as stderr:
        child = subprocess.Popen(
            [*launcher, *closing, *program, *case.arguments],
            cwd=case.work,
            env=case.variables(shared),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            return child.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return child.wait()


# The kernel counts as a process's own the memory of the process that it was forked from until it became another
# program. So the forking is left to one that has next to none.
LAUNCHER = """
import os, resource, sys
child = os.fork()
if not child:
    os.execvp(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss * 1024))
code = os.waitstatus_to_exitcode(status)
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def _fork(case: Case, shared: Path, _program: Sequence[str], patience: float) -> int:
    given = ([*case.first, case.arguments], case.variables(shared), str(case.place))
    child = fork_server().Process(target=_cofire, args=given)
    child.start()
    child.join(patience)
    if child.exitcode is None:
        child.kill()
        child.join()
    return int(child.exitcode)


def _cofire(lines: list[Sequence[str]], environment: dict[str, str], place: str) -> None:
    """`cofire` in this process, as if it had just been started: these command lines, until one fails."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA, MOST_DATA))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(f"{place}/work")
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(f"{place}/{name}", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "wb", closefd=False), "utf-8", "strict")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), "utf-8", "backslashreplace", line_buffering=True)
    if "huggingface_hub.constants" in sys.modules:
        sys.modules["huggingface_hub.constants"].HF_HUB_OFFLINE = True  # it was read when the module was imported
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    from cofire.cli import main

    try:
        for arguments in lines:
            sys.argv = ["cofire", *arguments]
            try:
                main()
            except SystemExit as end:
                if end.code:
                    raise
    finally:
        sys.stdout.flush()
        used = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        Path(place, "usage").write_text(str(used * 1024))


Tree = dict[bytes, tuple[Any, ...]]


def tree(folder: Path) -> Tree:
    """Everything below a folder, links not followed: what it is, and the hash of what it holds."""
    found: Tree = {}
    for directory, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            path = os.path.join(directory, name)  # noqa: PTH118 - bytes, as names need be no text
            found[path] = _entry(path)
    return found


def _entry(path: bytes) -> tuple[Any, ...]:
    if os.path.islink(path):  # noqa: PTH114
        return ("link", os.readlink(path))  # noqa: PTH115
    if os.path.isdir(path):  # noqa: PTH112
        return ("folder",)
    if not os.path.isfile(path):  # noqa: PTH113
        return ("special",)
    with open(path, "rb") as file:  # noqa: PTH123
        return ("file", os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def faults(case: Case, before: Tree, outcome: Outcome, limits: Limits = USUAL) -> list[str]:
    """What is not as it must be, a line each; none where all is well.

    Args:
        case: the case.
        before: its folder as it was (`tree`).
        outcome: how it ended (`run`).
        limits: what it may take.
    """
    found = []
    if outcome.code not in case.may:
        found.append(f"exit {outcome.code}, where {sorted(case.may)} are right")
    if outcome.seconds > limits.seconds:
        found.append(f"took {outcome.seconds:.0f} s, more than {limits.seconds:.0f}")
    if outcome.memory > limits.memory:
        found.append(f"took {outcome.memory / 2**20:.0f} MiB of memory, more than {limits.memory / 2**20:.0f}")
    found += [f"left process {pid}: {line}" for pid, line in outcome.left.items()]
    return found + _of_stderr(case, outcome) + _of_stdout(case, outcome) + _of_files(case, before, outcome.code)


def _of_stderr(case: Case, outcome: Outcome) -> list[str]:
    codec = (case.environment.get("PYTHONIOENCODING") or "utf-8").partition(":")[0]
    try:
        said = outcome.stderr.decode(codec)
    except UnicodeDecodeError as error:
        return [f"stderr is no {codec}: {error}"]
    found = [f"stderr has {match.group()!r}" for match in NOISE.finditer(said)]
    if CONTROL.search(said):
        found.append(f"stderr has control bytes: {CONTROL.findall(said)[:5]}")
    ours = [line for line in said.split("\n") if line.startswith("cofire: ")]
    if len(ours) != (outcome.code != 0):
        found.append(f"exit {outcome.code} with {len(ours)} lines of an error on stderr")
    return found


def _of_stdout(case: Case, outcome: Outcome) -> list[str]:
    if case.stdout != "file":
        return []
    if outcome.code:
        return ["there is an error, and something on stdout"] if outcome.stdout else []
    try:
        if case.output == "parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.read_table(pa.BufferReader(outcome.stdout))
            return []
        encoding = (case.environment.get("PYTHONIOENCODING") or "utf-8").partition(":")[0]
        text = outcome.stdout.decode("utf-8" if case.output in ("csv", "json") else encoding)
        if case.output == "json":
            json.loads(text)
        elif case.output == "csv":
            rows = list(csv.reader(io.StringIO(text)))
            assert len({len(row) for row in rows}) <= 1, "rows of different lengths"
    except (ValueError, OSError, AssertionError, csv.Error) as error:
        return [f"stdout is no {case.output}: {error}"]
    return []


def _of_files(case: Case, before: Tree, code: int) -> list[str]:
    now = tree(case.place)
    allowed = [os.fsencode(path) for path in (case.writes if code == 0 else case.resumes)]
    kept = [os.fsencode(path) for path in case.keeps]
    found = []
    for path in sorted(before.keys() | now.keys()):
        if before.get(path) == now.get(path):
            continue
        what = "left behind" if path not in before else "gone" if path not in now else "changed"
        # A folder that had to be made for what is written is no more than that.
        inside = any(path == one or path.startswith(one + b"/") or one.startswith(path + b"/") for one in allowed)
        if not inside or any(path == one or path.startswith(one + b"/") for one in kept):
            found.append(f"{what} though it exits with {code}: {path!r}")
        elif code == 0 and path not in before and LEFTOVER.search(os.fsdecode(os.path.basename(path))):  # noqa: PTH119
            found.append(f"a leftover: {path!r}")
    return found
