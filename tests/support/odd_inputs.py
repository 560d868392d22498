"""Odd command lines and files, each made from its number alone: `case_of(number, world, place)`.

The number is the seed, and says which kind it is (`KINDS`, in turn). `watched` says what must hold for each. One case
again: COFIRE_TEST_INPUT=NUMBER .venv/bin/python -m pytest tests/integration/test_inputs.py
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import category

import odd_commands
from cofire.queries.library import library
from hostile_inputs import STATEMENTS, TYPED
from odd_captures import (
    capture_models,
    capture_names,
    capture_numbers,
    capture_paths,
    capture_texts,
    imported_arrays,
)
from odd_draw import Draw, options
from odd_imports import (
    import_arrays,
    import_damaged,
    import_files,
    import_inputs,
    import_names,
    import_paths,
    import_places,
    import_weights,
)
from odd_values import EITHER, RIGHT, WORDS, WRONG, any_number, changed_json, damaged, encoded
from odd_world import RELEASE, UID, World
from watched import ANY, Case

# --- captures ---


def count_paths(draw: Draw) -> Case:
    given, place = draw.path(positional=True)
    shutil.copytree(draw.world.imported, place)
    return draw.case(f"count {place.name!a}", ["count", given], RIGHT, writes=(place / "tables",))


def count_numbers(draw: Draw) -> Case:
    place = draw.copy(draw.world.imported)
    return draw.case("odd settings of count", ["count", "capture", *options(draw, odd_commands.COUNT)],
                     EITHER, writes=(place / "tables",))  # fmt: skip


def analyze_numbers(draw: Draw) -> Case:
    place = draw.copy(draw.world.analysed)
    more = options(draw, odd_commands.ANALYZE)
    return draw.case("odd settings of analyze", ["analyze", "capture", *more], EITHER,
                     writes=(place / "tables", draw.work / "out"))  # fmt: skip


def capture_damaged(draw: Draw) -> Case:
    """One file of a capture is not what it was."""
    analysed = draw.chance.random() < 0.7
    place = draw.copy(draw.world.analysed if analysed else draw.world.imported)
    files = sorted(file for file in place.rglob("*") if file.is_file())
    file = draw.chance.choice([*files, *[one for one in files if one.name == "manifest.json"] * 4])
    data = file.read_bytes()
    if file.suffix == ".json" and draw.chance.random() < 0.7:
        file.write_bytes(changed_json(draw.chance, data))
    elif file.suffix == ".json" and draw.chance.random() < 0.5:
        file.write_bytes(encoded(draw.chance, data.decode()))
    elif draw.chance.random() < 0.2:
        file.unlink()
        if draw.chance.random() < 0.5:
            file.mkdir()
    else:
        file.write_bytes(damaged(draw.chance, data))
    commands = [["count", "capture"], ["analyze", "capture"], ["motifs", "capture", "--kind", "star"]]
    commands += [["export", "capture", "--out", "out", "--format", draw.chance.choice(odd_commands.EXPORTS)]]
    commands += [["report", "capture", "--cluster", draw.chance.choice(draw.world.clusters), "--out", "out"]]
    commands += [["ingest", "capture", "--store", "bolt://127.0.0.1:9"]]
    command = draw.chance.choice(commands)
    # What can be made anew of a damaged capture may be made anew, even where a later step ends in an error.
    tables = (place / "tables",)
    return draw.case(
        f"{command[0]} where {file.relative_to(place)} is damaged", command, frozenset({0, 2, 3}),
        writes=(*tables, draw.work / "out"), resumes=tables,
    )  # fmt: skip


def capture_arguments(draw: Draw) -> Case:
    """What is named as a capture is none, or is named twice."""
    (draw.work / "file").write_text("mine")
    (draw.work / "empty").mkdir()
    draw.copy(draw.world.analysed)
    names = [
        "file",
        "empty",
        "nothing",
        "",
        ".",
        "/dev/null",
        "capture/tables",
        "capture/manifest.json",
        "capture/../capture",
        "file/x",
    ]
    given = draw.chance.sample(names, draw.chance.randint(1, 2))
    command = draw.chance.choice(
        [["count"], ["analyze"], ["ingest", "--store", "new"], ["rebuild", "--store", "new"], ["motifs", "--kind=star"]]
    )
    writes = (draw.work / "capture" / "tables",) if command[0] in ("count", "analyze") else ()
    may = WRONG if command[0] in ("ingest", "rebuild") and not {"capture/../capture", "."} & {*given} else EITHER
    return draw.case(f"{command[0]} of {given}", [*command, *given], may, writes=(*writes, draw.work / "new"))


def motifs(draw: Draw) -> Case:
    kind, given = draw.chance.choice(["star", "clique", "path", "bifan"]), options(draw, odd_commands.MOTIFS)
    how = draw.chance.choice(["table", "csv", "json", "parquet"])
    source = draw.chance.choice([["capture"], ["--store", draw.world.store, "--all"]])
    if source == ["capture"]:
        draw.copy(draw.world.analysed)
    more = [*given, "--kind", kind, "--format", how]
    return draw.case(f"motifs {given}", ["motifs", *source, *more], EITHER, output=_output(how))


def _output(how: str) -> Any:
    return "text" if how == "table" else how


def export_paths(draw: Draw) -> Case:
    out, place = draw.path()
    source = draw.chance.choice([["capture"], ["--store", draw.world.store]])
    if source == ["capture"]:
        draw.copy(draw.world.analysed)
    how = draw.chance.choice(odd_commands.EXPORTS)
    return draw.case(
        f"export to {place.name!a}", ["export", *source, "--out", out, "--format", how], RIGHT, writes=(place,)
    )


def reports(draw: Draw) -> Case:
    out, place = draw.path()
    if draw.chance.random() < 0.5:
        draw.copy(draw.world.analysed)
        uid = draw.chance.choice([draw.chance.choice(draw.world.clusters), draw.chance.choice(WORDS)])
        given = ["capture", f"--cluster={uid}"]
        may = RIGHT if uid in draw.world.clusters else EITHER
    else:
        uid = draw.chance.choice([UID, draw.chance.choice(WORDS)])
        given, may = [f"--sae={uid}", "--store", draw.world.store], RIGHT if uid == UID else WRONG
    return draw.case(
        f"report of {uid[:30]!a} to {place.name!a}", ["report", *given, "--out", out], may, writes=(place,)
    )


# --- the store ---


def query_run(draw: Draw) -> Case:
    query = library()[draw.chance.choice(sorted(library()))]
    good: dict[str, str] = {
        "sae": UID,
        "sae_a": UID,
        "sae_b": UID,
        "index": "0",
        "a": "0",
        "b": "1",
        "indices": "[0,1]",
    }
    if draw.world.clusters:
        good["cluster"] = draw.chance.choice(draw.world.clusters)
    given = {p.name: good.get(p.name, "1") for p in query.parameters if p.required}
    for parameter in query.parameters:
        if draw.chance.random() < 0.4:
            given[parameter.name] = draw.chance.choice([draw.chance.choice(TYPED), any_number(draw.chance)])
    arguments = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    how = draw.chance.choice(["table", "csv", "json", "parquet"])
    more = ["--limit", any_number(draw.chance)] if draw.chance.random() < 0.3 else []
    arguments = ["query", "run", query.name, *arguments, "--store", draw.world.store, "--format", how, *more]
    return draw.case(f"query {query.name}", arguments, EITHER, output=_output(how))


def cypher(draw: Draw) -> Case:
    how = draw.chance.choice(["table", "csv", "json", "parquet"])
    text = draw.chance.choice(
        [draw.chance.choice(odd_commands.CYPHER)] * 3 + [draw.chance.choice(TYPED), draw.chance.choice(STATEMENTS)]
    )
    given = [
        "-p",
        f"x={draw.chance.choice([draw.chance.choice(TYPED), any_number(draw.chance), *odd_commands.VALUES])}",
    ]
    more = ["--timeout", any_number(draw.chance)] if draw.chance.random() < 0.2 else []
    arguments = ["cypher", *given, "--store", draw.world.store, "--format", how, *more, "--", text]
    return draw.case(f"cypher {text[:60]!a}", arguments, frozenset({0, 2, 4, 5}), output=_output(how))


def store_names(draw: Draw) -> Case:
    """--store is something else: nothing is made there, and nothing of it is lost."""
    (draw.work / "file").write_text("mine")
    (draw.work / "folder").mkdir()
    (draw.work / "folder" / "mine.txt").write_text("mine")
    (draw.work / "empty").mkdir()
    (draw.work / "nowhere").symlink_to("nothing")
    draw.copy(draw.world.analysed)
    name = draw.chance.choice(odd_commands.STORES)
    uid = draw.chance.choice([UID, *WORDS])
    commands = [
        ["saes"],
        ["cypher", "RETURN 1"],
        ["delete", "--", uid],
        ["migrate"],
        ["migrate", "--dry-run"],
        ["query", "run", "saes"],
    ]
    commands += [
        ["export", "--out", "out", "--format", "csv"],
        ["report", "--sae", UID, "--out", "out"],
        ["motifs", "--all", "--kind", "star"],
    ]
    commands += [["ingest", "capture"]]
    command = draw.chance.choice(commands)
    at = len(command) - 2 if command[0] == "delete" else len(command)
    arguments = [*command[:at], f"--store={name}", *command[at:]]
    made = command[0] == "ingest" and "://" not in name and name not in odd_commands.NEVER
    writes = (draw.work / "capture" / "tables",) if command[0] == "ingest" else ()
    return draw.case(
        f"{command[0]} --store={name!a}", arguments, ANY if made else frozenset({2, 3}),
        writes=(*writes, draw.work / name), resumes=writes, keeps=(draw.work / "folder/mine.txt", draw.work / "file"),
    )  # fmt: skip


def deleted(draw: Draw) -> Case:
    uid = draw.chance.choice([*WORDS, UID.upper(), UID + "/", UID + "/0", "/" + UID, RELEASE, "*"])
    return draw.case(f"delete {uid[:40]!a}", ["delete", "--store", draw.world.store, "--", uid], WRONG)


def ingested(draw: Draw) -> Case:
    """A store of its own, at an odd place: the only kind that starts a server."""
    given, place = draw.path("s")
    capture, made = draw.path("c", positional=True)
    shutil.copytree(draw.world.analysed, made)
    command = draw.chance.choice([["ingest", "--edges=all"], ["rebuild"]])
    return draw.case(
        f"{command[0]} {made.name!a} into {place.name!a}", [*command, f"--store={given}", capture],
        # A store's name goes into lines and settings, from which breaks or blanks around it would be lost.
        EITHER if given != given.strip() or any(category(sign) in ("Cc", "Zl", "Zp") for sign in given) else RIGHT,
        writes=(place, made / "tables"),
    )  # fmt: skip


# --- settings, environment, options ---


def toml(draw: Draw) -> Case:
    file = draw.work / "cofire.toml"
    text = draw.chance.choice(odd_commands.TOML)
    if draw.chance.random() < 0.4:
        file.write_bytes(encoded(draw.chance, text))
    elif draw.chance.random() < 0.1:
        draw.chance.choice([file.mkdir, lambda: file.symlink_to("nowhere"), lambda: file.symlink_to("cofire.toml")])()
    else:
        file.write_text(text, encoding="utf-8")
    place = draw.copy(draw.world.imported)
    command = draw.chance.choice([["query", "list"], ["count", "capture"], ["saes"], ["query", "show", "saes"]])
    return draw.case(f"cofire.toml, {command[0]}", command, frozenset({0, 2, 3}), writes=(place / "tables",))


def environment(draw: Draw) -> Case:
    names = draw.chance.sample(list(odd_commands.ENVIRONMENT), draw.chance.randint(1, 2))
    given: dict[str, str | None] = {name: odd_commands.ENVIRONMENT[name](draw.chance) for name in names}
    place = draw.copy(draw.world.imported)
    commands = [
        ["query", "list"],
        ["--version"],
        ["--help"],
        ["count", "capture"],
        ["count", "--help"],
        ["cypher", "RETURN 'é日本\U0001f469' AS `ü`"],
    ]
    command = draw.chance.choice(commands)
    if command[0] == "cypher":
        command = [*command, "--store", draw.world.store, "--format", draw.chance.choice(["table", "csv", "json"])]
    return draw.case(
        f"{command[0]} with {', '.join(names)}", command, frozenset({0, 2, 3}), environment=given, forked=False,
        writes=(place / "tables",), output=_output(command[-1]) if command[-1] in ("csv", "json") else "text",
    )  # fmt: skip


def streams(draw: Draw) -> Case:
    """Nowhere to write to."""
    commands = [
        ["query", "list"],
        ["--version"],
        ["--help"],
        ["query", "show", "saes"],
        ["query", "list", "--help"],
        ["bogus"],
    ]
    commands += [["saes", "--store", draw.world.store, "--format", how] for how in ("table", "csv", "json", "parquet")]
    where = draw.chance.choice(["full", "closed"])
    command = draw.chance.choice(commands)
    return draw.case(f"{command} to a stdout that is {where}", command, EITHER, stdout=where, forked=False)


def words(draw: Draw) -> Case:
    given = [draw.chance.choice(odd_commands.OPTIONS) for _ in range(draw.chance.randint(1, 5))]
    return draw.case("options", given, frozenset({0, 2, 3}))


def named(draw: Draw) -> Case:
    """Names of queries and of their parameters."""
    command = draw.chance.choice([["query", "show"], ["query", "explain"], ["query", "run"]])
    name = draw.chance.choice([*WORDS, *TYPED, "SAES", "saes ", "saes\n"])
    folder = []
    if draw.chance.random() < 0.5:
        (draw.work / "queries").mkdir()
        text = draw.chance.choice(odd_commands.QUERIES)
        (draw.work / "queries" / "mine.cypher").write_bytes(
            encoded(draw.chance, text) if draw.chance.random() < 0.4 else text.encode()
        )
        folder, name = ["--queries", "queries"], draw.chance.choice(["mine", "saes", name])
    store = [] if command[1] == "show" else ["--store", draw.world.store]
    return draw.case(f"{command[1]} {name[:40]!a}", [*command, *folder, *store, "--", name], frozenset({0, 2, 4}))


# The first twenty are those of the suite: each command once, and what starts a server of its own is not among them.
KINDS: tuple[Callable[[Draw], Case], ...] = (
    import_paths,
    import_arrays,
    query_run,
    import_files,
    capture_damaged,
    cypher,
    toml,
    capture_texts,
    environment,
    import_places,
    store_names,
    motifs,
    export_paths,
    count_paths,
    import_names,
    words,
    deleted,
    count_numbers,
    named,
    reports,
    import_inputs,
    import_damaged,
    capture_arguments,
    analyze_numbers,
    streams,
    ingested,
    import_weights,
    imported_arrays,
    capture_damaged,
    capture_paths,
    capture_numbers,
    capture_names,
    capture_models,
    imported_arrays,
    query_run,
    cypher,
)


def case_of(number: int, world: World, place: Path) -> Case:
    """Make the files of a case in a folder that is not there yet."""
    for folder in ("work", "home", "tmp"):
        (place / folder).mkdir(parents=True)
    chance = random.Random(number)  # noqa: S311 - no secret
    return KINDS[number % len(KINDS)](Draw(number, chance, world, place))
