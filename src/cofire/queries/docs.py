"""Write the reference page of the query library."""

from __future__ import annotations

import json

from cofire.queries.library import Query, library
from cofire.schema.docs import escaped

__all__ = ["queries_page"]

_HEAD = """\
# The query library

Made from the headers of `src/cofire/queries/*.cypher`; do not edit. Every query gives the same rows in the same order
on Neo4j and on the embedded store, but that nearest_decoders may miss a row on Neo4j, and reads only SAEs whose load is
complete. Most have one text for both; some have one for each.

    cofire query run strongest_neighbours -p sae=RELEASE/SAE_ID -p index=42
    kb.query("strongest_neighbours", sae="RELEASE/SAE_ID", index=42)

A folder of your own files, of the same format, is added by `--queries DIR`, `KnowledgeBase(..., queries=DIR)` or
COFIRE_QUERIES. Their names must not be those of the library, and what would write is refused.

    cofire query run my_question --queries my-queries -p sae=RELEASE/SAE_ID

A query whose `limit` has a default other than 0 gives at most so many rows unless `limit` is given, and the command
line says so when that is reached; any other gives all its rows.

To run a query in Neo4j Browser, set all its parameters there first, those with a default, too (`:param limit => 0`).
Then paste the file, or, where it has a text for each store, the one below `// only: neo4j`.

"""


def queries_page() -> str:
    """Return docs/queries.md."""
    queries = library().values()
    contents = "".join(f"- [{q.name}](#{q.name}): {escaped(q.description)}\n" for q in queries)
    return _HEAD + contents + "".join(f"\n{_section(q)}" for q in queries)


def _section(query: Query) -> str:
    text = f"## {query.name}\n\n{escaped(query.description)}\n\n"
    if query.parameters:
        text += "| parameter | type | default | meaning |\n|---|---|---|---|\n"
        for p in query.parameters:
            default = "required" if p.required else f"`{json.dumps(p.default, ensure_ascii=False)}`"
            text += f"| `{p.name}` | {escaped(str(p.type))} | {default} | {escaped(p.description)} |\n"
        text += "\n"
    text += "| column | type | meaning |\n|---|---|---|\n"
    for c in query.columns:
        text += f"| `{c.name}` | {escaped(str(c.type))} | {escaped(c.description)} |\n"
    return text
