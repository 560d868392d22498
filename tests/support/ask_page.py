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


_MEASURED = {
    "tokens", "meanL0", "count", "percent", "lift", "score", "together", "given1023", "given", "clusters", "largest",
    "withB", "withC", "p", "cosine", "count12", "count18",
}  # fmt: skip


def near(columns: list[str], written: list[str], found: list[str]) -> bool:
    """Whether two rows may come from the same text on two processors.

    What was measured may differ by a tenth, a count by 4; which latent, document, place or text it is may not.
    """
    for column, one, other in zip(columns, written, found, strict=True):
        if column in _MEASURED and kind(one) == "number":
            a, b = float(one), float(other)
            if abs(a - b) > (max(4.0, 0.1 * abs(a)) if "." not in one else max(0.1, 0.1 * abs(a))):
                return False
        elif one != other and kind(one) != "list":
            return False
    return True


def _table(rows: list[dict[str, Any]]) -> str:
    assert rows, "an example without a row"
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
