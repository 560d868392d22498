"""The scripts are Bash, and the query calls that they and the README show are ones that cofire accepts."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cofire.cli.query import queries
from cofire.queries.library import find_query, parse_parameters
from repository import ROOT

SCRIPTS = [*sorted((ROOT / "scripts").iterdir()), ROOT / ".ci" / "run"]
CALL = re.compile(r"cofire query (run|explain) ([^`\n]*)")


def calls(name: str) -> list[tuple[str, str]]:
    """(run or explain, the rest of the line) of each call of a query; a call ends with its line or code span."""
    return CALL.findall((ROOT / name).read_text(encoding="utf-8").replace("\\\n", " "))


SHOWN = [(name, *call) for name in ("README.md", "scripts/demo") for call in calls(name)]


@pytest.mark.parametrize("name", ["README.md", "scripts/demo"])
def test_every_mention_of_a_query_call_is_looked_at(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(calls(name)) == len(re.findall(r"query\s+(?:run|explain)\s", text)) > 0


@pytest.mark.parametrize(("name", "command", "rest"), SHOWN, ids=[f"{name}: {rest}" for name, _, rest in SHOWN])
def test_a_query_call_that_is_shown_is_one_that_cofire_accepts(name: str, command: str, rest: str) -> None:
    """Variables of the shell stay as they stand: `sae=$sae12` is a string like any other."""
    group = typer.main.get_group(queries)
    context = group.commands[command].make_context(command, shlex.split(rest, comments=True))
    query = find_query(context.params["name"])
    given = dict(text.split("=", 1) for text in context.params["param"] or ())
    query.bind(parse_parameters(query, given))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("argument", "code"), [("{home}", 0), ("{home}-other", 1), ("x{home}", 1)])
def test_scripts_neo4j_knows_its_server_without_ps(tmp_path: Path, argument: str, code: int) -> None:
    home = tmp_path / "home with blank"
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "console.log").write_text("Started.\n")
    (home / "uri").write_text("bolt://127.0.0.1:1\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "cat", "dirname", "grep"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEO4J_")}
    environment |= {"PATH": str(tools), "COFIRE_NEO4J_HOME": str(home)}
    server = subprocess.Popen(
        [sys.executable, "-c", "input()", "--home-dir=" + argument.format(home=home), "--console-mode"],
        stdin=subprocess.PIPE,
    )
    try:
        (home / "server.pid").write_text(f"{server.pid}\n")
        done = subprocess.run(
            [str(ROOT / "scripts" / "neo4j"), "status"], env=environment, capture_output=True, text=True, check=False
        )
    finally:
        server.communicate(b"\n")
    assert (done.returncode, f"pid {server.pid}" in done.stderr) == (code, code == 0), done.stderr
