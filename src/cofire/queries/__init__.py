r"""The query library: one `.cypher` file a query, and the code that makes callables of them.

The format of a query file. Its first lines are comments, the header; what follows the header is Cypher:

    // name: strongest_neighbours
    // description: The latents that co-fire with one latent,
    //   strongest first.
    // param sae: string - uid of the SAE
    // param by: log_odds|count|jaccard = "log_odds" - measure that orders the rows
    // param limit: integer 0.. = 0 - at most so many rows, 0 for all
    // returns index: integer - the neighbour's index
    // returns phi: float or null - correlation of the two firing indicators

- `name` is the file's name without `.cypher`.
- `param NAME: TYPE [LOW..HIGH] [or null] [= DEFAULT] - MEANING`, once for each `$NAME` of the text. TYPE is string,
  integer, float, boolean, list<...> of one of these, or words joined by `|`: a string, one of them. LOW..HIGH are
  inclusive bounds of a number; either may be left out. DEFAULT is JSON; without one the parameter is required.
- `returns NAME: TYPE [or null] - MEANING`, once for each result column, in order.
- A line `//   ...` (three blanks) goes on with the line before it.
- Where the two stores need different Cypher, a line `// only: neo4j` right below the header begins the text for Neo4j
  and a line `// only: embedded` the other; both give the same columns and rows.

Rules for the text, which tests hold: it reads only SAEs with status 'ready'; it says how its rows are ordered, down
to the last tie; values come in as parameters alone; it gives the same rows on Neo4j and on the embedded store.

A folder of a user's own (`--queries DIR`, `KnowledgeBase(queries=DIR)`) has files of the same format. Their names must
not be those of the library, and their texts pass the read-only guard before they are run.
"""
