"""What odd_inputs gives to the options, settings and queries of cofire."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from odd_values import NUMBERS, SIZES, WORDS, any_number

Chosen = Callable[[random.Random], str]


def _of(*values: str) -> Chosen:
    return lambda chance: chance.choice(values)


def _text(chance: random.Random) -> str:
    return chance.choice(WORDS)


def _typable(chance: random.Random) -> str:
    """What an environment variable can hold, and a command line: no NUL, and not too long."""
    return chance.choice([word for word in [*WORDS, *NUMBERS] if len(word) <= 10_000])


COUNT: dict[str, Chosen] = {
    "--edges": _of("all", "significant", "none", "", "ALL"),
    "--min-count": any_number,
    "--min-log-odds": any_number,
    "--fdr": any_number,
    "--token-strata": any_number,
    "--memory": lambda chance: chance.choice([*SIZES, *NUMBERS]),
    "--engine": _of("local", "", "Local", "x"),
    "--address": _of("", "auto:x", "127.0.0.1:0", "x y"),
    "--device": _of("cpu", "", "gpu", "cuda:99"),
}
ANALYZE: dict[str, Chosen] = {
    "--only": _of(
        *("clusters", "nulls", "", ",", "clusters,", "clusters,clusters", " clusters ", "CLUSTERS", "x", "subspaces"),
        *("functions,nulls", "structure-function", "\n", "clusters\0"[:8], "*"),
    ),
    "--out": _of("out", "", "capture", "nowhere/deep"),
    "--resolution": lambda chance: chance.choice(["auto", "AUTO", any_number(chance)]),
    "--objective": _of("cpm", "modularity", "", "x"),
    "--runs": lambda chance: chance.choice(["2", "3", "0", "-1", "1e3", "1001", *NUMBERS[20:40]]),
    "--seed": any_number,
    "--processes": lambda chance: chance.choice(["1", "2", "0", "-1", "65", "nan", ""]),
    "--rewires": lambda chance: chance.choice(["2", "1", "0", "100001", "x", ""]),
}
MOTIFS: dict[str, Chosen] = {
    "--min-size": any_number,
    "--max-size": lambda chance: chance.choice(["4", "5", "0", "-1", "nan", "9" * 30, ""]),
    "--by": _of("log_odds", "count", "decoder_cosine", "", "x", "Count"),
    "--min-log-odds": any_number,
    "--min-z": any_number,
    "--limit": any_number,
    "--at": _of("test/a/b/0", "test/a/b/4", "test/a/b/99", "test/a/b/-1", "test/a/b/", "/0", *WORDS),
}  # fmt: skip
CAPTURE: dict[str, Chosen] = {
    "--tokens": any_number,
    "--context": any_number,
    "--batch": any_number,
    "--device": _of("cpu", "auto", "", "cuda:99", "CPU"),
    "--dtype": _of("float32", "bfloat16", "float16", "float64", ""),
    "--text-field": _text,
    "--norm-factor": any_number,
    "--residual-share": any_number,
    "--memory": lambda chance: chance.choice([*SIZES, *NUMBERS]),
}
EXPORTS = ["neo4j-admin", "parquet", "graphml", "csv"]

VALUES = ["[1, null]", '{"a": {"b": []}}', "1e400", "[[[]]]", '"\\ud800"', "9223372036854775808", "-0.0", '[1, "a"]']
CYPHER = [
    *("RETURN $x AS x", "RETURN [$x, $x] AS x", "RETURN {k: $x} AS x", "RETURN 1/0", "RETURN 1.0/0", "RETURN 0.0/0.0"),
    *("RETURN 1 AS a, 1 AS a", "RETURN 1 AS `a\nb`", "RETURN 1 AS ``", "RETURN 1 AS `\x1b[31m`"),
    *("RETURN 1 AS `é, \"x\"`",),
    *("RETURN date()", "RETURN duration('P1D') AS d", "RETURN point({x: 1, y: 2}) AS p", "RETURN datetime() AS d"),
    *("RETURN null AS n", "RETURN [] AS l", "RETURN {} AS m", "RETURN [1, 'a', null, [2]] AS l"),
    *("RETURN [1.5, 1] AS l",),
    *("UNWIND [1, 'a', null] AS x RETURN x", "UNWIND [] AS x RETURN x", "UNWIND range(1, 50000) AS x RETURN x"),
    *("MATCH (n) RETURN n", "MATCH (n) RETURN n LIMIT 0", "MATCH (a)-[r]->(b) RETURN r LIMIT 3"),
    *("MATCH p=()-[]->() RETURN p LIMIT 2",),
    *("MATCH (n:Nothing) RETURN n.x", "MATCH (n) RETURN *", "MATCH (n) WHERE n.uid = $x RETURN n", "RETURN $y"),
    *("RETURN",),
    *("MATCH (n) RETURN count(n) AS `count(n)`", "RETURN 9223372036854775807 + 1 AS x", "RETURN 'a' * 2"),
    *("RETURN toInteger($x)",),
    *("RETURN 'x\\u0000y' AS s", "RETURN '\\uD800' AS s", "RETURN size($x) AS n", "RETURN 1; RETURN 2"),
    *("RETURN 1;", " ", "\n"),
    *("MATCH (n) RETURN n.uid AS u ORDER BY u SKIP -1", "RETURN 1 LIMIT $x"),
    *("WITH 1 AS x MATCH (n) RETURN x, n.uid UNION RETURN 1",),
    *("RETURN range(1, 100000) AS l", "UNWIND range(1, 300) AS x RETURN collect('é' + x) AS l"),
    *("RETURN 1e308 * 10 AS x",),
    *("RETURN true AS t", "RETURN -0.0 AS z", "RETURN 1e-320 AS d", "RETURN '' AS ``", "CALL db.labels()"),
    *("SHOW INDEXES",),
]  # fmt: skip

# No store can be made at these.
NEVER = (
    "",
    " ",
    "\n",
    "file",
    "folder",
    "file/x",
    "capture",
    "capture/tables",
    "capture/manifest.json",
    "/dev/null",
    "/proc",
)
STORES = [
    *("", " ", "file", "folder", "file/x", "nowhere", "nothing", "empty", "capture", "capture/tables"),
    *("capture/manifest.json",),
    *("bolt://127.0.0.1:9", "bolt://127.0.0.1:9/db", "bolt://127.0.0.1:99999", "bolt://127.0.0.1:x", "bolt://"),
    *("bolt:", "bolt:/x"),
    *("neo4j://127.0.0.1:9", "neo4j+s://127.0.0.1:9", "bolt+ssc://127.0.0.1:9", "bolt://u:secret@127.0.0.1:9"),
    *("bolt://[::1]:9",),
    *("http://127.0.0.1:9", "https://127.0.0.1:9", "file:///tmp", "ftp://x", "://", "x://", "127.0.0.1:7687"),
    *("bolt://127.0.0.1:9?x=1",),
    *("bolt://127.0.0.1:9 ", "bolt://a b:9", "bolt://ü.invalid:9", "BOLT://127.0.0.1:9", "\n", "/dev/null"),
    *("/proc", "~nobody/x", "-x", "*"),
]  # fmt: skip

TOML = [
    *("", "\n", "# nothing", "min_count = 5", "min_count = 0", "min_count = '5'", "min_count = 5.0"),
    *("min_count = 1e400",),
    *("min_count = [5]", "min_count = true", "min_count = 99999999999999999999", "fdr = nan", "fdr = inf"),
    *("fdr = 0.01",),
    *("unknown = 1", "[cofire]\nmin_count = 5", "min_count = 5\nmin_count = 6", "MIN_COUNT = 5", "min-count = 5", "x"),
    *('store = ""', 'store = "nothing"', "store = 1", "store = 1979-05-27", 'store = "bolt://127.0.0.1:9"'),
    *('store = "\\u0000"',),
    *('memory = "1QB"', "memory = 1", "memory = -1", 'memory = "4GB"', 'edges = "none"', 'edges = "all"'),
    *("timeout = 0", "timeout = -1"),
    *('queries = "nothing"', 'queries = ""', "seed = -1", "runs = 1", "password = 'x'", "username = 1"),
    *('resolution = "x"', "resolution = 0"),
    *("x = " + "[" * 3000, "a." * 2000 + "b = 1", "# " + "x" * 1_000_000, "store = '''\n'''", "= 1"),
    *("min_count = 0x10", '"min_count" = 5'),
]  # fmt: skip

QUERIES = [
    *("", "RETURN 1", "// name: mine\nRETURN 1"),
    *("// name: mine\n// description: Mine.\n// returns x: integer - x\nRETURN 1 AS x",),
    *("// name: saes\n// description: Mine.\n// returns x: integer - x\nRETURN 1 AS x"),
    *("// name: mine\n// description: Mine.\nCREATE (n)",),
    *("// name: mine\n// description: Mine.\n// param x: integer = 1 - x\n// returns x: integer - x\nRETURN $x AS x",),
    *("// name: mine\n// description: Mine.\n// param x: integer = a - x\n// returns x: integer - x\nRETURN $x AS x",),
    *("// name: mine\n// description: Mine.\n// param x: thing - x\n// returns x: integer - x\nRETURN $x AS x",),
    *("// name: mine\n// description: Mine.\n// returns x: string - x\nRETURN 1 AS x"),
    *("// name: other\n// description: O.\nRETURN 1",),
    *("// name: mine\n// description: Mine.\n// returns x: integer - x\nRETURN 1 AS y"),
    *("// name: \n// description: \n", "\0"),
]  # fmt: skip


def _home(chance: random.Random) -> str:
    return chance.choice(["", "/nonexistent", "relative", "/dev/null", "/proc", os.fsdecode(b"/x\xff"), "~", "//"])


ENVIRONMENT: dict[str, Chosen] = {
    **{
        f"COFIRE_{name}": _typable
        for name in ("MIN_COUNT", "FDR", "EDGES", "MEMORY", "ENGINE", "TIMEOUT", "SEED", "DECODERS", "QUERIES", "WEAK")
    },
    "COFIRE_MIN_LOG_ODDS": _typable,
    "COFIRE_UNKNOWN": _typable,
    "NEO4J_USERNAME": _typable,
    "NEO4J_PASSWORD": _typable,
    "NEO4J_DATABASE": _typable,
    "PYTHONIOENCODING": _of("ascii", "latin-1", "utf-8", "cp1252", "ascii:strict", "ascii:replace", "shift_jis"),
    "LANG": _of("C", "POSIX", "", "xx_YY.UTF-8", "de_DE.ISO-8859-1", "en_US"),
    "LC_ALL": _of("C", "POSIX", "C.UTF-8", "xx"),
    "PYTHONUTF8": _of("0", "1"),
    "COLUMNS": _of("0", "1", "-5", "abc", "20", "40", "1000000", "", "9" * 30),
    "LINES": _of("0", "x", ""),
    "TERM": _of("", "dumb", "xterm-256color", "unknown", "x" * 1000),
    "NO_COLOR": _of("", "1"),
    "HOME": _home,
    "TMPDIR": _home,
    "XDG_CACHE_HOME": _home,
    "MPLCONFIGDIR": _home,
    "HF_HOME": _home,
    "NUMBA_CACHE_DIR": _of("", "/nonexistent/x", "/dev/null"),
    "TZ": _of("", "x", ":", "UTC", "/etc/passwd"),
    "PYTHONWARNINGS": _of("default", "always", ""),
    "SOURCE_DATE_EPOCH": _of("x", "-1", "0"),
    "http_proxy": _of("http://127.0.0.1:9", "x"),
}  # fmt: skip

OPTIONS = [
    *("--version", "--help", "--versio", "--HELP", "-h", "-V", "--", "-", "", " ", "--=", "=", "--store"),
    *("--store=", "--store=x"),
    *("query", "list", "run", "show", "explain", "saes", "count", "capture", "import", "activations", "cypher"),
    *("motifs", "export"),
    *("report", "delete", "migrate", "rebuild", "ingest", "analyze", "QUERY", "quer", "@file", "*", "--limit"),
    *("-p", "-p=", "x=1", "-px"),
    *("--format", "json", "--format=", "--limit=3", "--kind", "star", "--out", "--release", "--sae-id"),
    *("\U0001f469\u200d\U0001f4bb",),
    *("é", "\u202eabc", "\x1b[31m", "\n", "[red]", "[/]", "{0}", "%s", "--model=x", "--sae", "--text", "--force"),
    *("--replace", "--all"),
    *("--no-decoders", "--decoders=1", "--help=x", "--version=x", "-hV", "--timeout", "nan", "--x" * 100),
    *(os.fsdecode(b"\xff"), "'", "$x"),
]  # fmt: skip
