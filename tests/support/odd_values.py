"""Values that are odd but that somebody gives some day: names of files, numbers, contents of files. See odd_inputs."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from builders import arrays_of

# What one part of a path may be called. None has a slash; all can be made on Linux.
NAMES = [
    *("run:1", "s3:x", "file:x", "hdfs:a", "C:x", "http:", "bolt:", "hf:x", ":", "a b", " ", " a ", "tab\tx", "cr\rx"),
    *("%41", "%2F", "%", "a%sb", "a#b", "a?b=c", "a=b", "a&b", "*", "?", "[a]", "[", "**", "{a,b}", "a,b", "a;b"),
    *("a|b",),
    *("-", "-x", "--", "--out", "--help", "-rf", "~", "~root", "$HOME", "$(id)", "`id`", "@x", "!x", "'", '"', "\\"),
    *("a\\b", "...", ".hidden", "..a", "a.", "CON", "null", "new\nline", "\x1b[31mred", "\x01", "\x7f", "shards"),
    *("tables",),
    *("naïve", "nai\u0308ve", "日本語", "\U0001f469\u200d\U0001f4bb", "\u202eabc", "\u200b", "\ufeffx", "\u2028"),
    *("x" * 200, "x" * 240, "é" * 110, "1", "0", "None", "True", "{}", "{0}", "<x>", "[red]"),
    *map(os.fsdecode, (b"x\xff\xfe", b"\xc3", b"\xed\xa0\x80")),
]

# Of releases, SAEs, models, hook points: what is typed where a name is expected.
WORDS = [
    *("", " ", "a", "/", "a/", "/a", "a//b", "..", "../..", "a/../b", ".", "a:b", "a=b", "a b", "A/B/C", "-x", "--out"),
    *("'", '"', "`", "\\", "$sae", "${x}", "{sae}", "`}) DETACH DELETE n //", "'}) RETURN 1 //", "x\\u0027"),
    *("\U0001f469\u200d\U0001f4bb", "日本語", "\u202eabc\u202c", "\u200b", "\u00a0", "\ufeff", "e\u0301", "ﬃ", "ａ"),
    *("\n", "a\nb", "\t", "\x1b[31m", "\x7f", "\x01", "null", "NaN", "true", "0", "-1", "%41", "*", "?", "[a]", "<b>"),
    *("x" * 1000, "x" * 1001, "é" * 600, "a/" * 400 + "b", "x" * 10_000, os.fsdecode(b"x\xff"), "[red]x[/red]", "[/]"),
]

NUMBERS = [
    *("0", "-0", "1", "-1", "2", "3", "5", "1.5", "1,5", "0.5", "1e3", "1e400", "-1e400", "1e-400", "5e-324", "nan"),
    *(
        "inf",
        "-inf",
        "Infinity",
        "0x10",
        "0b1",
        "010",
        "1_000",
        "１２",
        "٣",
        "½",
        "²",
        "+5",
        " 5 ",
        "5 ",
        "",
        " ",
        "--5",
    ),
    *("2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "9" * 30, "9" * 400, "9" * 5000),
    *("None", "null", "true", "all", "2**3", "1/2", "1;2", "[1]", '{"a": 1}', "auto", "\n5", "5\x00"[:1], "five"),
]
SIZES = [
    "0",
    "1",
    "512MB",
    "4GB",
    "1e3GB",
    "-1GB",
    "1 GiB",
    "1QB",
    "99999999999TB",
    "16777215",
    "16777216",
    "nan",
    "1.5GB",
]


def any_number(chance: random.Random) -> str:
    """Half of the time one of a kind that might be meant."""
    return str(chance.randint(-3, 300)) if chance.random() < 0.4 else chance.choice(NUMBERS)


# --- texts as bytes ---


def encoded(chance: random.Random, text: str) -> bytes:
    """A text in some encoding, with what editors and tools add to it or damage in it."""
    ways: list[Callable[[], bytes]] = [
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-16-le"),
        lambda: text.encode("utf-32"),
        lambda: text.encode("latin-1", "replace") + b"\xe9\xe8",
        lambda: text.encode("utf-8-sig"),
        lambda: text.encode().replace(b"\n", b"\r\n"),
        lambda: text.encode().replace(b"\n", b"\r"),
        lambda: text.encode().replace(b" ", b"\0"),
        lambda: text.encode().replace(b" ", b"\xed\xa0\x80"),
        lambda: text.encode().replace(b" ", "\u2028".encode()),
        lambda: text.encode()[: max(len(text) // 2, 1)] + b"\xc3",
        lambda: text.encode() * 50,
        lambda: b"",
        lambda: b"\n",
        lambda: b"\0" * 1000,
        lambda: chance.randbytes(500),
        lambda: text.encode() + b"\x1b[31m\x07",
    ]
    return chance.choice(ways)()


def damaged(chance: random.Random, data: bytes) -> bytes:
    """A file after a bad copy."""
    where = chance.randrange(len(data)) if data else 0
    ways: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: data[:where],
        lambda: data[: len(data) // 2],
        lambda: data[:-1],
        lambda: data + b"\0" * 100,
        lambda: chance.randbytes(len(data)),
        lambda: b"\0" * len(data),
        lambda: data[:where] + bytes([data[where] ^ 255]) + data[where + 1 :] if data else b"",
        lambda: data[:where] + chance.randbytes(8) + data[where + 8 :],
        lambda: data[where:],
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ]
    return chance.choice(ways)()


ODD_JSON: list[Any] = [
    *(None, True, -1, 0, 1.5, 2**31, 2**63, 10**30, float("nan"), float("inf"), "", "x", "0", [], {}, [1], [None]),
    *({"a": 1}, "x" * 10_000, "\ud800", "\0", "../../etc/passwd", ["x", 1], "1e400"),
]


def changed_json(chance: random.Random, data: bytes) -> bytes:
    """A JSON object of which one value, however deep, is another, is gone, or was not there."""
    whole = json.loads(data)
    inside: Any = whole
    while True:
        key = chance.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        if isinstance(inside[key], dict | list) and inside[key] and chance.random() < 0.7:
            inside = inside[key]
            continue
        break
    if isinstance(inside, dict) and chance.random() < 0.2:
        del inside[key]
    elif isinstance(inside, dict) and chance.random() < 0.1:
        inside["unknown"] = chance.choice(ODD_JSON)
    else:
        inside[key] = chance.choice(ODD_JSON)
    return json.dumps(whole).encode()


# --- npz files ---

Arrays = dict[str, Any]
RIGHT, WRONG, EITHER = frozenset({0}), frozenset({2}), frozenset({0, 2})


def _set(name: str, at: Any, value: Any) -> Callable[[Arrays], Arrays]:
    def change(arrays: Arrays) -> Arrays:
        array = np.array(arrays[name])
        array[at] = value
        return arrays | {name: array}

    return change


def _as(name: str, kind: Any) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: np.asarray(arrays[name]).astype(kind)}


def _put(name: str, value: Any) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: value}


def _texts(text: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {"token_text": np.array([text, *arrays["token_text"].tolist()[1:]])}


def _rows(arrays: Arrays) -> int:
    return len(arrays["indptr"]) - 1


CHANGES: list[tuple[str, Callable[[Arrays], Arrays], frozenset[int]]] = [
    *((f"values {kind}", _as("values", kind), RIGHT) for kind in ("f8", "f2", ">f4")),
    *((f"values {kind}", _as("values", kind), WRONG) for kind in ("i4", "bool", "c8", "U8", "O", "S8", "M8[s]")),
    *((f"a value {x}", _set("values", 3, x), WRONG) for x in (np.nan, np.inf, -np.inf, 0, -1.0)),
    *((f"a value {x}", _set("values", 3, x), RIGHT) for x in (3e38, 1e-38, 1e-45)),
    ("values beyond float32", lambda a: a | {"values": np.full(len(a["values"]), 1e39)}, WRONG),
    ("values below float32", lambda a: a | {"values": np.full(len(a["values"]), 1e-60)}, WRONG),
    ("all values 3e38", lambda a: a | {"values": np.full(len(a["values"]), 3e38, np.float32)}, RIGHT),
    ("values of two dimensions", lambda a: a | {"values": a["values"][:, None]}, WRONG),
    ("one value short", lambda a: a | {"values": a["values"][:-1]}, WRONG),
    ("values of a structure", lambda a: a | {"values": np.zeros(len(a["values"]), [("a", "f4")])}, WRONG),
    *((f"indices {kind}", _as("indices", kind), RIGHT) for kind in ("i8", "u1", ">i4", "u8")),
    *((f"indices {kind}", _as("indices", kind), WRONG) for kind in ("f4", "bool", "U8", "O")),
    *((f"an index {x}", _set("indices", 3, x), WRONG) for x in (-1, 12, 2**31 - 1)),
    ("indices unsorted", lambda a: a | {"indices": a["indices"][::-1].copy()}, WRONG),
    ("indices beyond int64", lambda a: a | {"indices": a["indices"].astype("u8") + np.uint64(2**63)}, WRONG),
    ("indptr from 1", _set("indptr", 0, 1), WRONG),
    ("indptr falls", _set("indptr", 5, 0), WRONG),
    ("indptr negative", _set("indptr", 1, -5), WRONG),
    ("indptr too short", lambda a: a | {"indptr": a["indptr"][:-1]}, WRONG),
    ("indptr u8", _as("indptr", "u8"), RIGHT),
    ("indptr u8 falls", lambda a: _set("indptr", 5, 0)(_as("indptr", "u8")(a)), WRONG),
    ("indptr float", _as("indptr", "f8"), WRONG),
    ("indptr empty", _put("indptr", np.zeros(0, np.int64)), WRONG),
    ("indptr of no rows", _put("indptr", np.zeros(1, np.int64)), WRONG),
    *((f"n_latents {x}", _put("n_latents", np.int64(x)), WRONG) for x in (0, -1, 1, 2**31)),
    *((f"n_latents {x!r}", _put("n_latents", np.array(x)), WRONG) for x in (1.5, "12", [12], 12j)),
    ("n_latents u8", _put("n_latents", np.uint64(2**64 - 1)), WRONG),
    *((f"n_latents {x}", _put("n_latents", np.int64(x)), RIGHT) for x in (10**5, 10**7, 2**31 - 1)),
    *((f"doc {kind}", lambda a, kind=kind: a | {"doc": np.zeros(_rows(a), kind)}, RIGHT) for kind in ("i1", "u8")),
    *((f"doc {kind}", lambda a, kind=kind: a | {"doc": np.zeros(_rows(a), kind)}, WRONG) for kind in ("f4", "bool")),
    ("doc falls", lambda a: a | {"doc": np.arange(_rows(a))[::-1]}, WRONG),
    ("doc negative", lambda a: a | {"doc": np.full(_rows(a), -1)}, WRONG),
    ("doc large", lambda a: a | {"doc": np.full(_rows(a), 2**31 - 1)}, RIGHT),
    ("doc too large", lambda a: a | {"doc": np.full(_rows(a), 2**31)}, WRONG),
    ("doc u8 too large", lambda a: a | {"doc": np.full(_rows(a), 2**64 - 1, "u8")}, WRONG),
    ("a document a row", lambda a: a | {"doc": np.arange(_rows(a))}, RIGHT),
    ("token beyond", lambda a: a | {"token": np.full(_rows(a), 10)}, WRONG),
    ("token negative", _set("token", 0, -1), WRONG),
    ("token short", lambda a: a | {"token": a["token"][:-1]}, WRONG),
    ("token without texts", lambda a: {k: v for k, v in a.items() if k != "token_text"}, RIGHT),
    ("texts without token", lambda a: {k: v for k, v in a.items() if k != "token"}, WRONG),
    *((f"a text {x!a}", _texts(x), RIGHT) for x in ("", " ", "\n", "\x1b[31m", "\u202e", "\ufffd", "a\0b")),
    ("a text of a surrogate", _texts("\ud800"), WRONG),
    ("a text of 20,000 characters", _texts("x" * 20_000), EITHER),
    ("all texts alike", lambda a: a | {"token_text": np.array(["x"] * 10)}, RIGHT),
    ("texts of bytes", _put("token_text", np.array([b"x"] * 10)), WRONG),
    ("texts of objects", _put("token_text", np.array(["x"] * 10, object)), WRONG),
    ("texts of two dimensions", _put("token_text", np.array([["x"] * 10])), WRONG),
    ("x", lambda a: a | {"x": np.ones((_rows(a), 4), "f4")}, RIGHT),
    ("x nan", lambda a: a | {"x": np.full((_rows(a), 4), np.nan)}, WRONG),
    ("x large", lambda a: a | {"x": np.full((_rows(a), 4), 1e30)}, WRONG),
    ("x of one dimension", lambda a: a | {"x": np.ones(_rows(a))}, WRONG),
    ("x of no width", lambda a: a | {"x": np.ones((_rows(a), 0))}, EITHER),
    ("x short", lambda a: a | {"x": np.ones((3, 4))}, WRONG),
    ("an unknown array", _put("more", np.zeros(1)), WRONG),
    ("no values", lambda a: {k: v for k, v in a.items() if k != "values"}, WRONG),
    ("no latent fires", lambda a: arrays_of([{}] * 50, 12), RIGHT),
    ("one row", lambda a: arrays_of([{0: 1.0, 3: 2.0}], 12), RIGHT),
    ("one latent", lambda a: arrays_of([{0: 1.0}] * 50, 1), RIGHT),
    ("one latent, one row", lambda a: arrays_of([{0: 1.0}], 1), RIGHT),
    ("every latent fires always", lambda a: arrays_of([dict.fromkeys(range(12), 1.0)] * 60, 12), RIGHT),
]
"""(what, how, exit codes of an import)"""


def saved(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _zip(members: list[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as out:
        for name, data in members:
            out.writestr(name, data)
    return file.getvalue()


def _header(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _values_of(arrays: Arrays, data: bytes, *more: tuple[str, bytes]) -> bytes:
    """The good npz, but for the bytes of values.npy, and with more members."""
    with zipfile.ZipFile(io.BytesIO(saved(arrays))) as good:
        members = [(name, data if name == "values.npy" else good.read(name)) for name in good.namelist()]
    return _zip([*members, *more])


def _flagged(data: bytes) -> bytes:
    """Every entry says that it is encrypted."""
    out = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            out[at + offset] |= 1
            at = data.find(mark, at + 1)
    return bytes(out)


def _method(data: bytes) -> bytes:
    """Every entry says that it is compressed in a way of which nobody knows."""
    out = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.find(mark)
        while at >= 0:
            out[at + offset] = 99
            at = data.find(mark, at + 1)
    return bytes(out)


FILES: list[tuple[str, Callable[[Arrays], bytes], frozenset[int]]] = [
    ("an empty file", lambda a: b"", WRONG),
    ("a text", lambda a: b"indptr, indices, values\n", WRONG),
    ("a zip of nothing", lambda a: _zip([]), WRONG),
    (
        "a zip of texts",
        lambda a: _zip([("indptr", b"1"), ("values", b"x"), ("indices", b""), ("n_latents", b"1")]),
        WRONG,
    ),
    ("a member that is a text", lambda a: _values_of(a, b"1 2 3"), WRONG),
    ("a member that is empty", lambda a: _values_of(a, b""), WRONG),
    ("a member of pickles", lambda a: _values_of(a, b"\x80\x04N."), WRONG),
    ("a member of 2^50 numbers", lambda a: _values_of(a, _header("(1125899906842624,)")), WRONG),
    ("a member of -1 numbers", lambda a: _values_of(a, _header("(-1,)")), WRONG),
    ("a member with a strange header", lambda a: _values_of(a, _header("(" * 200)), WRONG),
    ("a member of no known type", lambda a: _values_of(a, _header("(3,)", "zz")), WRONG),
    ("a member of a later format", lambda a: _values_of(a, b"\x93NUMPY\x09\x00" + b"x" * 100), WRONG),
    ("encrypted", lambda a: _flagged(saved(a)), WRONG),
    ("compressed in an unknown way", lambda a: _method(saved(a)), WRONG),
    ("two members of one name", lambda a: _values_of(a, _npy(a["values"]), ("values", b"x")), EITHER),
    ("one array, not several", lambda a: _npy(a["values"]), WRONG),
]


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
