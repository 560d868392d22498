"""The kinds of odd_inputs that are calls of `cofire import activations`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from safetensors.numpy import save

from odd_draw import Draw
from odd_values import CHANGES, EITHER, FILES, NUMBERS, RIGHT, WORDS, WRONG, damaged, saved
from odd_world import RELEASE, SAE_ID, weights
from watched import Case

IDENTITY = ("--release", RELEASE, "--sae-id", SAE_ID)


def import_paths(draw: Draw) -> Case:
    acts, file = draw.path(".npz", positional=True)
    shutil.copy(draw.world.npz, file)
    out, place = draw.path()
    arguments = ["import", "activations", acts, "--out", out, *IDENTITY]
    if draw.chance.random() < 0.5:
        given, tensors = draw.path(".safetensors")
        tensors.write_bytes(save(weights()))
        arguments += ["--weights", given]
    return draw.case(f"{file.name!a} to {place.name!a}", arguments, RIGHT, writes=(place,))


def import_arrays(draw: Draw) -> Case:
    title, change, may = draw.chance.choice(CHANGES)
    (draw.work / "acts.npz").write_bytes(saved(change(draw.world.arrays)))
    return _import(draw, title, may)


def import_files(draw: Draw) -> Case:
    title, make, may = draw.chance.choice(FILES)
    (draw.work / "acts.npz").write_bytes(make(draw.world.arrays))
    return _import(draw, title, may)


def import_damaged(draw: Draw) -> Case:
    (draw.work / "acts.npz").write_bytes(damaged(draw.chance, draw.world.npz.read_bytes()))
    return _import(draw, "a damaged npz", EITHER)


def _import(draw: Draw, title: str, may: frozenset[int], *more: str) -> Case:
    arguments = ["import", "activations", "acts.npz", "--out", "out", *IDENTITY, *more]
    return draw.case(title, arguments, may, writes=(draw.work / "out",))


def import_weights(draw: Draw) -> Case:
    tensors = weights()
    name = draw.chance.choice(list(tensors))
    odd: list[tuple[str, Any]] = [
        (f"{name} transposed", tensors | {name: tensors[name].T.copy()}),
        (f"{name} half", tensors | {name: tensors[name].astype("f2")}),
        (f"{name} whole numbers", tensors | {name: tensors[name].astype("i4")}),
        (f"{name} not finite", tensors | {name: tensors[name] * float("nan")}),
        (f"{name} empty", tensors | {name: tensors[name][:0]}),
        (f"{name} of one more dimension", tensors | {name: tensors[name][None]}),
        (f"without {name}", {k: v for k, v in tensors.items() if k != name}),
        (f"{name} alone", {name: tensors[name]}),
        ("an unknown tensor", tensors | {"W": tensors[name]}),
        ("no tensor", {}),
    ]
    title, given = draw.chance.choice(odd)
    data = save(given)
    if draw.chance.random() < 0.5:
        title, data = "damaged weights", damaged(draw.chance, data)
    elif draw.chance.random() < 0.2:
        title, data = (
            "weights in a format that NumPy lacks",
            data.replace(b'"F32"', b'"' + draw.chance.choice([b"F8_E4M3", b"XXX"]) + b'"'),
        )
    shutil.copy(draw.world.npz, draw.work / "acts.npz")
    (draw.work / "weights").write_bytes(data)
    return _import(draw, title, EITHER, "--weights", "weights")


def import_names(draw: Draw) -> Case:
    shutil.copy(draw.world.npz, draw.work / "acts.npz")
    which = draw.chance.sample(["--release", "--sae-id", "--model", "--hook", "--layer"], draw.chance.randint(1, 3))
    given = {"--release": RELEASE, "--sae-id": SAE_ID}
    given |= {name: draw.chance.choice(NUMBERS if name == "--layer" else WORDS) for name in which}
    arguments = ["import", "activations", "acts.npz", "--out", "out"]
    arguments += [f"{name}={value}" for name, value in given.items()]
    return draw.case("odd " + ", ".join(which), arguments, EITHER, writes=(draw.work / "out",))


def import_places(draw: Draw) -> Case:
    """The output is there already, or cannot be."""
    shutil.copy(draw.world.npz, draw.work / "acts.npz")
    out, users = draw.work / "out", draw.work / "out" / "mine.txt"
    ways: list[tuple[str, str, Callable[[], Any], frozenset[int]]] = [
        ("the same capture", "out", lambda: shutil.copytree(draw.world.imported, out), EITHER),
        ("a file", "out", lambda: out.write_text("mine"), WRONG),
        ("a folder of the user's", "out", lambda: (out.mkdir(), users.write_text("mine")), EITHER),
        ("an empty folder", "out", out.mkdir, RIGHT),
        ("a link to nowhere", "out", lambda: out.symlink_to("nowhere"), EITHER),
        ("a link to itself", "out", lambda: out.symlink_to("out"), WRONG),
        ("a link to a folder", "out", lambda: ((draw.work / "other").mkdir(), out.symlink_to("other")), EITHER),
        ("below a file", "acts.npz/out", lambda: None, WRONG),
        ("no name", "", lambda: None, WRONG),
        ("a device", "/dev/null", lambda: None, WRONG),
        ("below a device", "/dev/null/x", lambda: None, WRONG),
        ("in /proc", "/proc/x", lambda: None, WRONG),
        ("the input itself", "acts.npz", lambda: None, WRONG),
        ("the working directory", ".", lambda: None, EITHER),
        ("a long path", "/".join(["x" * 200] * 30), lambda: None, WRONG),
        ("a long name", "x" * 256, lambda: None, WRONG),
        ("a slash behind it", "out/", lambda: None, RIGHT),
        ("deep", "out/" + "a/" * 50, lambda: None, RIGHT),
    ]
    title, given, make, may = draw.chance.choice(ways)
    make()
    force = ["--force"] if draw.chance.random() < 0.4 else []
    arguments = ["import", "activations", "acts.npz", "--out", given, *IDENTITY, *force]
    writes = (out, draw.work / "other", draw.work / "nowhere") if given != "." else (draw.work,)
    return draw.case(
        f"--out is {title}{', --force' * bool(force)}", arguments, may | EITHER if force else may,
        writes=writes, keeps=(users, draw.work / "acts.npz"),
    )  # fmt: skip


def import_inputs(draw: Draw) -> Case:
    """The input is something else, or not there."""
    work = draw.work
    ways: list[tuple[str, str, Callable[[], Any]]] = [
        ("missing", "nothing.npz", lambda: None),
        ("a folder", "acts.npz", (work / "acts.npz").mkdir),
        ("a link to nowhere", "acts.npz", lambda: (work / "acts.npz").symlink_to("nowhere")),
        ("a link to itself", "acts.npz", lambda: (work / "acts.npz").symlink_to("acts.npz")),
        ("no name", "", lambda: None),
        ("a device without end", "/dev/zero", lambda: None),
        ("an empty device", "/dev/null", lambda: None),
        ("a pipe", "acts.npz", lambda: os.mkfifo(work / "acts.npz")),
        ("standard input", "-", lambda: None),
        ("a URL", "https://127.0.0.1:9/acts.npz", lambda: None),
        ("a long name", "x" * 300 + ".npz", lambda: None),
        ("a long path", "/".join(["x" * 200] * 30), lambda: None),
        ("below a file", "file/acts.npz", lambda: (work / "file").write_text("")),
        ("in a home", "~/acts.npz", lambda: None),
    ]
    title, given, make = draw.chance.choice(ways)
    make()
    also = draw.chance.random() < 0.3
    if also:
        shutil.copy(draw.world.npz, work / "good.npz")
    acts, more = ("good.npz", ["--weights", given]) if also else (given, [])
    arguments = ["import", "activations", *more, "--out", "out", *IDENTITY, "--", acts]
    return draw.case(f"{'weights' if also else 'acts'} are {title}", arguments, WRONG)
