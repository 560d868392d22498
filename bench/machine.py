"""What the benches share: a Neo4j server in a home of its own, the CPU's load, medians, tables."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from neo4j import GraphDatabase, Query

from cofire.store import Store, open_store

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bench"
NEO4J_VERSION = os.environ.get("COFIRE_NEO4J_VERSION", "5.26.30")


class Neo4j:
    """A server that scripts/neo4j starts, its home under .cache/bench; a context manager that stops it."""

    def __init__(self, name: str) -> None:
        self.home = CACHE / f"neo4j-{name}"
        self.uri = self.username = self.password = ""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._port = int(listener.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, fresh: bool = False) -> None:
        """Start it; `fresh` throws away what it holds (and, its users being data too, the whole home)."""
        if fresh:
            self.stop()
            shutil.rmtree(self.home, ignore_errors=True)
        said = self._script("start")
        variables = dict(word.split("=", 1) for word in shlex.split(said) if "=" in word)
        self.uri, self.username = variables["NEO4J_URI"], variables["NEO4J_USERNAME"]
        self.password = variables["NEO4J_PASSWORD"]

    def stop(self) -> None:
        """Stop it; the data stay."""
        self._script("stop")

    def open(self) -> Store:
        """Open it as cofire does."""
        return open_store(self.uri, self.username, self.password)

    def run(self, statements: Sequence[str]) -> int:
        """Run statements, each on its own, with the plain driver; return the first value of the last one, else 0."""
        value = 0
        with (
            GraphDatabase.driver(self.uri, auth=(self.username, self.password)) as driver,
            driver.session(database="neo4j") as session,
        ):
            for statement in statements:
                record = session.run(Query(statement)).single()
                value = 0 if record is None else int(record[0])
        return value

    def ask(self, statement: str) -> int:
        """Return the one number that a statement gives."""
        return self.run([statement])

    def admin(self, arguments: Sequence[str], folder: Path, log: Path) -> None:
        """Run neo4j-admin (its Java class; Maven brings no shell script) in `folder`, the server being stopped."""
        java = shutil.which("java", path=f"{os.environ.get('JAVA_HOME', '')}/bin{os.pathsep}{os.environ['PATH']}")
        jars = ROOT / ".cache" / f"neo4j-{NEO4J_VERSION}" / "lib" / "*"
        environment = os.environ | {"NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")}
        opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.nio", "java.io", "sun.nio.ch")]
        command = [str(java), *opened, "-cp", str(jars), "org.neo4j.cli.AdminTool", *arguments]
        with log.open("w") as said:
            done = subprocess.run(command, cwd=folder, env=environment, stdout=said, stderr=said, check=False)
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)} failed; see {log}")

    def _script(self, command: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEO4J_")}
        environment |= {"COFIRE_NEO4J_HOME": str(self.home), "COFIRE_NEO4J_PORT": str(self._port)}
        done = subprocess.run(
            [str(ROOT / "scripts" / "neo4j"), command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        return done.stdout


class Cpu(NamedTuple):
    """Ticks of all CPUs since the machine started."""

    busy: int
    total: int

    @classmethod
    def now(cls) -> Cpu:
        """Read them (Linux)."""
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return cls(sum(ticks) - ticks[3] - ticks[4], sum(ticks))


def load_of_others(seconds: float = 2.0) -> float:
    """Return the share of the CPUs that is in use while this process waits: on a quiet machine almost none."""
    before = Cpu.now()
    time.sleep(seconds)
    now = Cpu.now()
    return (now.busy - before.busy) / max(now.total - before.total, 1)


def machine() -> str:
    """Return one line: CPU, cores, memory, system, Python, driver, servers."""
    name = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    parts = [f"{name}, {os.cpu_count()} cores, {memory / 2**20:.0f} GiB", platform.platform(terse=True)]
    parts += [f"Python {platform.python_version()}", f"Neo4j {NEO4J_VERSION}"]
    parts += [f"{package} {version(package)}" for package in ("arcadedb-embedded", "neo4j", "neo4j-rust-ext")]
    return ", ".join(parts)


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.is_file() else []


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of them lie, the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return `median (min-max)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, padded so that it also reads as text."""
    table = [list(head), *[[str(cell) for cell in row] for row in rows]]
    width = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)) + " |" for row in table]
    lines.insert(1, "| " + " | ".join("-" * w for w in width) + " |")
    return "\n".join(lines)
