"""The generated reference pages. `python -m cofire.cli.docs DIR` writes them; a test holds them against the code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

CLI_HEADER = """\
# The command line

Data goes to stdout, progress and notices to stderr. `--store` is a directory (the embedded engine) or a `bolt://`,
`neo4j://` or `neo4j+s://` URL; without it `COFIRE_STORE`, then `store` in `cofire.toml`, then `./cofire-store`.
Credentials come from NEO4J_USERNAME, NEO4J_PASSWORD and NEO4J_DATABASE. An SAE is named RELEASE:SAE_ID where sae-lens
loads it, and by its uid, RELEASE/SAE_ID, where it is looked up in a store. A path is taken as it stands, whatever it
looks like (`run:1`, `~`): only the shell expands a `~` or a pattern. One that begins with a dash goes behind `--`, or
behind the `=` of its option.

**Rows.** A table is printed where it fits the terminal (160 columns in a file or pipe); else each row is `name: value`
lines with an empty line between rows, and only lists are broken or, beyond 120 characters, cut with the number of items
left out. Text is shown so that it can be seen and does not act on the terminal: ␣ for a space at an end (in a list, for
each), ⏎ ⇥ ↵ for line feed, tab and carriage return, U+200B for a character without a shape, ∅ for an empty text; - is a
missing value. CSV and JSON are exact, and UTF-8 whatever the locale; only on a terminal are such characters shown as
JSON's escapes (`\\u001b`). Parquet does not go to a terminal.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a fault of ours; `--debug` shows the full trace |
| 2 | the input was wrong: one line on stderr says what, where and what to do; nothing was written |
| 3 | the store or a server could not be reached |
| 4 | a read was refused because it would write |
| 5 | a time limit passed |
| 130 | interrupted; the same command resumes |

"""


SETTINGS_HEADER = """\
# Settings

Made from the declarations of `cofire.settings`; do not edit. A value comes from the flag, else from the environment,
else from `cofire.toml` in the working directory (`NAME = VALUE`), else it is the default; `cofire ingest` and
`cofire analyze` go by what a capture was last made with before they take a default. Credentials come from
NEO4J_USERNAME, NEO4J_PASSWORD and NEO4J_DATABASE.

| setting | environment | default | may be | meaning |
|---|---|---|---|---|
"""


def settings_page() -> str:
    """Return docs/settings.md."""
    from cofire.cli.flags import default_in_words
    from cofire.schema.docs import escaped
    from cofire.settings import all_settings

    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    rows = ""
    for name, one in all_settings().items():
        limits = [f"{signs[kind]} {bound:,.10g}" for kind, bound in one.bounds.items()]
        choices = [str(value) for value in get_args(one.type)] if get_origin(one.type) is Literal else limits
        default = str(one.default).lower() if one.type is bool else default_in_words(one) or ""
        cells = (default, ", ".join(choices), one.help[0].upper() + one.help[1:] + ".")
        rows += f"| `{name}` | `COFIRE_{name.upper()}` | {' | '.join(map(escaped, cells))} |\n"
    return SETTINGS_HEADER + rows


def made_by() -> dict[str, str]:
    """Return, for each table by name, the command that makes it."""
    from cofire.analysis.analyses import ANALYSES
    from cofire.schema.tables import TABLES

    analyses = {table.name: f"cofire analyze --only {one.name}" for one in ANALYSES for table in one.tables}
    return {table.name: analyses.get(table.name, "cofire count") for table in TABLES}


def pages() -> dict[str, str]:
    """Return each generated page by its file name."""
    import typer
    from typer.cli import get_docs_for_click

    from cofire.cli.app import app
    from cofire.queries.docs import queries_page
    from cofire.schema.docs import graph_page, tables_page

    command = typer.main.get_command(app)
    commands = get_docs_for_click(obj=command, ctx=typer.Context(command), name="cofire")
    return {
        "cli.md": CLI_HEADER + commands.split("\n", 1)[1].lstrip() + "\n",
        "graph.md": graph_page(),
        "tables.md": tables_page(made_by()),
        "queries.md": queries_page(),
        "settings.md": settings_page(),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
