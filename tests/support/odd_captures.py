"""The kinds of odd_inputs that make captures: `cofire capture` on a model of random weights; imports to the end."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from odd_commands import CAPTURE, EXPORTS
from odd_draw import Draw, options
from odd_values import CHANGES, EITHER, RIGHT, WORDS, WRONG, changed_json, damaged, encoded, saved
from watched import Case

TEXT = (
    "It is a truth universally acknowledged, that a single man\nin possession of a good fortune, must be in want. " * 5
)
USUAL = ("--tokens", "200", "--device", "cpu")
NAMED = "test:a/b="

LINES = [
    *('{"text": "a \\ud800 b", "title": "\\udfff"}', '{"text": ' + "[" * 100_000, '{"text": ' + "9" * 6000 + "}", "[]"),
    *('{"text": NaN}', '{"text": "a", "n": 1e400}', '{"text": "a\\u0000b"}', '{"text": null}', '{"text": 5}'),
    *('{"text": ""}',),
    *('{"x": "y"}', "null", "x", '{"text": "a"', '{"text": "a"} {"text": "b"}', "\ufeff" + '{"text": "a"}', ""),
    *(" ", "\0"),
    *('{"text": "a", "title": ["x"]}', '{"text": "a", "title": "' + "t" * 20_000 + '"}'),
    *('{"text": "a", "title": "\\u001b[31m"}',),
    *('{"text": "<s></s><pad>"}', '{"text": "' + "x" * 200_000 + '"}', '{"text": "a", "text": "b"}', '{"TEXT": "a"}'),
]  # fmt: skip


def _call(draw: Draw, title: str, text: str, *more: str, **known: object) -> Case:
    given = {"--model": str(draw.world.model), "--sae": f"{NAMED}{draw.world.sae}", "--out": "out"} | known
    words = [f"{name}={value}" for name, value in given.items()]
    out = draw.work / "out"
    return draw.case(title, ["capture", *words, "--text", text, *USUAL, *more], EITHER, writes=(out,), resumes=(out,))


def imported_arrays(draw: Draw) -> Case:
    """What an import takes, counted and analysed, and perhaps shown or written."""
    title, change, _ = draw.chance.choice([one for one in CHANGES if one[2] != WRONG])
    (draw.work / "acts.npz").write_bytes(saved(change(draw.world.arrays)))
    out = draw.work / "out"
    lines = [
        ("import", "activations", "acts.npz", "--out", "capture", "--release", "r", "--sae-id", "s"),
        ("count", "capture"),
    ]
    lines += [draw.chance.choice([("count", "capture"), ("count", "capture", "--edges", "all", "--min-count", "1")])]
    lines += [("analyze", "capture")]
    how = draw.chance.choice([*EXPORTS, "star", "path", None])
    if how in EXPORTS:
        lines += [("export", "capture", "--out", "out", "--format", str(how))]
    elif how:
        lines += [("motifs", "capture", "--kind", str(how), "--format", "csv")]
    writes = (draw.work / "capture", out)
    return draw.case(
        f"{title}, to the end", list(lines[-1]), EITHER, writes=writes, resumes=writes, first=tuple(lines[:-1])
    )


def capture_texts(draw: Draw) -> Case:
    chance, work = draw.chance, draw.work
    good = [json.dumps({"text": TEXT, "title": "good"})] * 3
    lines = [*good, *chance.choices(LINES, k=chance.randint(1, 2))]
    chance.shuffle(lines)
    kind = chance.choice([".txt", ".jsonl", ".jsonl", ".txt.gz", ".jsonl.gz"])
    whole = TEXT if kind.startswith(".txt") else "\n".join(lines) + "\n"
    data = encoded(chance, whole) if chance.random() < 0.5 else whole.encode()
    if kind.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
        data = damaged(chance, data) if chance.random() < 0.5 else data
    (work / "texts").mkdir()
    (work / "texts" / f"text{kind}").write_bytes(data)
    given = chance.choice(["texts", f"texts/text{kind}"])
    return _call(draw, f"a text {kind}", given)


def capture_paths(draw: Draw) -> Case:
    """Everything lies where names are odd; text and SAE are typed so that they cannot be taken for anything else."""
    _, text = draw.path(".txt")
    text.write_text(TEXT)
    _, model = draw.path("m")
    shutil.copytree(draw.world.model, model)
    _, sae = draw.path("s")
    shutil.copytree(draw.world.sae, sae)
    out, place = draw.path("o")
    names = {"--model": str(model), "--sae": f"{NAMED}{sae}", "--out": out}
    words = [f"{name}={value}" for name, value in names.items()]
    # The libraries that read them take names in UTF-8 alone.
    may = RIGHT if _is_text(model) and _is_text(sae) else EITHER
    title = " ".join(ascii(path.name) for path in (model, sae, text, place))
    return draw.case(title, ["capture", *words, "--text", str(text), *USUAL], may, writes=(place,))


def _is_text(path: Path) -> bool:
    return str(path).encode("utf-8", "replace").decode() == str(path)


def capture_numbers(draw: Draw) -> Case:
    (draw.work / "text.txt").write_text(TEXT)
    more = [*options(draw, CAPTURE), *draw.chance.choice([[], ["--no-keep"], ["--residuals"]])]
    return _call(draw, f"capture {more!a}"[:100], "text.txt", *more)


def capture_names(draw: Draw) -> Case:
    (draw.work / "text.txt").write_text(TEXT)
    name = draw.chance.choice(["--model", "--sae", "--out", "--text"])
    word = draw.chance.choice(WORDS)
    if name == "--text":
        return _call(draw, f"--text={word[:40]!a}", word)
    if name == "--sae" and draw.chance.random() < 0.7:
        word = draw.chance.choice(
            [f"{word}={draw.world.sae}", f"test:{word}={draw.world.sae}", f"{word}:a={draw.world.sae}"]
        )
    case = _call(draw, f"{name}={word[:40]!a}", "text.txt", **{name: word})
    return case if name != "--out" else draw.case(case.title, list(case.arguments), EITHER, writes=(draw.work / word,))


def capture_models(draw: Draw) -> Case:
    """One file of the model or of the SAE is not what it was."""
    (draw.work / "text.txt").write_text(TEXT)
    places = {}
    for name, source in (("--model", draw.world.model), ("--sae", draw.world.sae)):
        places[name] = Path(shutil.copytree(source, draw.work / name.strip("-")))
    files = sorted(file for place in places.values() for file in place.rglob("*") if file.is_file())
    file = draw.chance.choice(files)
    data = file.read_bytes()
    ways: list[Callable[[], object]] = [lambda: file.write_bytes(damaged(draw.chance, data)), file.unlink]
    if file.suffix == ".json":
        ways += [lambda: file.write_bytes(changed_json(draw.chance, data))] * 3
        ways += [lambda: file.write_bytes(encoded(draw.chance, data.decode()))]
    draw.chance.choice(ways)()
    known = {"--model": str(places["--model"]), "--sae": f"{NAMED}{places['--sae']}"}
    return _call(draw, f"{file.relative_to(draw.work)} is damaged", "text.txt", **known)
