"""The worked examples of docs/ask.md.

`python tests/support/ask_page.py STORE` writes their tables anew, from the store of a demo.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, NamedTuple

from repository import ROOT

_FILE = ROOT / "docs" / "ask.md"
PAGE = _FILE.read_text(encoding="utf-8")
_BLOCK = re.compile(
    r"^## (?P<title>[^\n]+)\n\n```cypher\n(?P<text>.*?)^```\n\n(?P<table>(?:\|[^\n]*\n)+)", re.DOTALL | re.MULTILINE
)


class Example(NamedTuple):
    """A question, its Cypher, and the table below it, each cell as the page writes it."""

    title: str
    text: str
    columns: list[str]
    rows: list[list[str]]


def examples() -> list[Example]:
    """The worked examples of the page, in order."""
    found = []
    for match in _BLOCK.finditer(PAGE):
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in match["table"].splitlines())
        found.append(Example(match["title"], match["text"], head, rows))
    return found


def cell(value: Any) -> str:
    """A value as the page writes it."""
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if isinstance(value, str | list) else text


def kind(written: str) -> str:
    """What a cell holds: a number, a text, a list, or nothing."""
    value = json.loads(written.strip("`"))
    return "number" if isinstance(value, int | float) else type(value).__name__


def near(written: str, found: str) -> bool:
    """Whether two cells may come from the same text on two processors: numbers may differ by 4 or by a tenth."""
    if kind(written) != "number" or kind(found) != "number":
        return written == found
    a, b = float(written), float(found)
    return abs(a - b) <= max(4.0, 0.1 * abs(a))


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def main(store: str) -> None:
    """Write the tables anew."""
    from cofire import KnowledgeBase

    page = PAGE
    with KnowledgeBase(store) as kb:
        for match in _BLOCK.finditer(PAGE):
            page = page.replace(match["table"], _table(list(kb.iter(match["text"]))))
    _FILE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
