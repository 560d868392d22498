"""The generated reference pages. `python -m cofire.cli.docs DIR` writes them; a test holds them against the code."""

from __future__ import annotations

import sys
from pathlib import Path

CLI_HEADER = """\
# The command line

Data goes to stdout, progress and notices to stderr. `--store` is a directory (the embedded engine) or a `bolt://`,
`neo4j://` or `neo4j+s://` URL; without it `COFIRE_STORE`, then `store` in `cofire.toml`, then `./cofire-store`.
Credentials come from NEO4J_USERNAME, NEO4J_PASSWORD and NEO4J_DATABASE. An SAE is named RELEASE:SAE_ID where sae-lens
loads it, and by its uid, RELEASE/SAE_ID, where it is looked up in a store.

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
        "tables.md": tables_page(),
        "queries.md": queries_page(),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
