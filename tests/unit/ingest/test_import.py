"""Importing a user's activations: what is right arrives whole, what is malformed gets its own line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from builders import arrays_of, random_arrays
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.import_activations import import_activations
from cofire.schema.base import LONGEST_TEXT
from odd_values import CHANGES, FILES, saved


def good() -> dict[str, Any]:
    return arrays_of(
        [{0: 1.0, 2: 2.0}, {}, {1: 0.5}],
        3,
        doc=np.array([4, 4, 9]),
        token=np.array([0, 1, 0]),
        token_text=np.array(["a", " b"]),
        x=np.ones((3, 5), np.float16),
    )


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"W_dec": (3, 5), "W_enc": (5, 3), "b_enc": (3,), "b_dec": (5,), "threshold": (3,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def run(
    tmp_path: Path, arrays: dict[str, Any], tensors: dict[str, np.ndarray] | None = None, **more: Any
) -> CaptureDir:
    np.savez(tmp_path / "acts.npz", **arrays)
    if tensors is not None:
        save_file(tensors, tmp_path / "w.safetensors")
        more["weights"] = tmp_path / "w.safetensors"
    return import_activations(tmp_path / "acts.npz", tmp_path / "out", **{"release": "r", "sae_id": "s", **more})


def test_everything_arrives(tmp_path: Path) -> None:
    tensors = weights()
    capture = run(tmp_path, good(), tensors, model="m", hook="blocks.3.hook_resid_post", layer=3)
    (shard,) = capture.shards()
    assert shard.indptr.tolist() == [0, 2, 2, 3]
    assert shard.indices.tolist() == [0, 2, 1]
    assert shard.values.tolist() == [1.0, 2.0, 0.5]
    assert shard.document.tolist() == [0, 0, 1]
    assert shard.position.tolist() == [0, 1, 0]
    assert shard.token.tolist() == [0, 1, 0]
    assert capture.vocabulary() == {0: "a", 1: " b"}
    documents = capture.documents()
    assert documents is not None
    assert {number: tokens.tolist() for number, tokens in documents.items()} == {0: [0, 1], 1: [0]}
    for name, tensor in capture.weights().items():
        np.testing.assert_array_equal(tensor, tensors[name])
    assert [stored.half.tolist() for stored in capture.residuals()] == [np.ones((3, 5)).tolist()]
    assert capture.manifest.sae.layer == 3
    assert capture.manifest.masking.kept == 3


def test_many_shards_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(run(tmp_path, random_arrays(0)).shards())
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 64)
    (tmp_path / "2").mkdir()
    parts = list(run(tmp_path / "2", random_arrays(0)).shards())
    assert len(parts) == 7
    for field in ("document", "position", "token", "indices", "values"):
        joined = np.concatenate([getattr(part, field) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole[0], field))


def test_the_same_again_changes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    capture = run(tmp_path, good())
    before = {p: p.stat().st_mtime_ns for p in capture.path.rglob("*") if p.is_file()}
    run(tmp_path, good())
    assert before == {p: p.stat().st_mtime_ns for p in capture.path.rglob("*") if p.is_file()}
    with pytest.raises(CaptureError, match="--force"):
        run(tmp_path, random_arrays(1))
    assert run(tmp_path, random_arrays(1), force=True).manifest.n_latents == 12


def change(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(arrays: dict[str, Any]) -> None:
        arrays[name] = value

    return apply


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    def apply(arrays: dict[str, Any]) -> None:
        del arrays[name]

    return apply


MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no indptr": (drop("indptr"), "lacks indptr"),
    "no n_latents": (drop("n_latents"), "lacks n_latents"),
    "unknown array": (change("tokens", np.zeros(3)), "unknown array 'tokens'"),
    "float indptr": (change("indptr", np.array([0.0, 2, 2, 3])), "indptr has dtype float64"),
    "2-d indices": (change("indices", np.array([[0, 2, 1]])), "indices has 2 dimensions"),
    "integer values": (change("values", np.array([1, 2, 3])), "values has dtype int64"),
    "indptr not from 0": (change("indptr", np.array([1, 2, 2, 3])), "must start with 0"),
    "empty indptr": (change("indptr", np.zeros(0, int)), "must start with 0"),
    "no rows": (change("indptr", np.zeros(1, int)), "no rows"),
    "falling indptr": (change("indptr", np.array([0, 2, 1, 3])), "falls at row 1"),
    "indptr too short": (change("indptr", np.array([0, 2, 2, 2])), "indptr ends at 2"),
    "unpaired": (change("values", np.array([1.0, 2.0], np.float32)), "3 indices but 2 values"),
    "latent too high": (change("indices", np.array([0, 3, 1])), r"indices\[1\] is 3"),
    "negative latent": (change("indices", np.array([-1, 2, 1])), r"indices\[0\] is -1"),
    "unsorted": (change("indices", np.array([2, 0, 1])), "row 0 are not ascending"),
    "doubled": (change("indices", np.array([2, 2, 1])), "row 0 are not ascending"),
    "nan": (change("values", np.array([1, np.nan, 1], np.float32)), r"values\[1\] is nan"),
    "inf": (change("values", np.array([1, 1, np.inf], np.float32)), r"values\[2\] is inf"),
    "overflow": (change("values", np.array([1, 1e300, 1])), r"values\[1\] is 1e\+300"),
    "zero": (change("values", np.array([0, 1, 1], np.float32)), r"values\[0\] is 0"),
    "negative": (change("values", np.array([-1, 1, 1], np.float32)), r"values\[0\] is -1"),
    "no latents": (change("n_latents", np.int64(0)), "n_latents is 0"),
    "n_latents list": (change("n_latents", np.array([3])), "n_latents has 1 dimensions"),
    "short doc": (change("doc", np.array([0, 0])), "doc has 2 entries for 3 rows"),
    "falling doc": (change("doc", np.array([1, 0, 0])), "doc falls at row 1"),
    "float doc": (change("doc", np.array([0.0, 1, 1])), "doc has dtype float64"),
    "negative token": (change("token", np.array([0, -1, 0])), r"token\[1\] is -1"),
    "token without text": (change("token", np.array([0, 7, 0])), r"token\[1\] is 7"),
    "text without token": (drop("token"), "token_text but no token"),
    "bytes text": (change("token_text", np.array([b"a", b"b"])), "token_text has dtype"),
    "short x": (change("x", np.ones((2, 5), np.float16)), "x has 2 rows"),
    "x not finite": (change("x", np.full((3, 5), 1e9)), "x is not finite"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_arrays(tmp_path: Path, case: str) -> None:
    spoil, message = MALFORMED[case]
    arrays = good()
    spoil(arrays)
    with pytest.raises(InputError, match=message) as caught:
        run(tmp_path, arrays)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("W_dec", np.zeros((4, 5), np.float32), "W_dec has shape"),
        ("W_enc", np.zeros((3, 5), np.float32), "W_enc has shape|has shape"),
        ("b_enc", np.zeros(5, np.float32), "b_enc has shape"),
        ("threshold", np.full(3, np.nan, np.float32), "threshold is not all finite"),
        ("W_skip", np.zeros(3, np.float32), "unknown tensor 'W_skip'"),
        ("W_dec", np.zeros((3, 6), np.float32), "has shape"),
    ],
)
def test_malformed_weights(tmp_path: Path, name: str, tensor: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path, good(), {**weights(), name: tensor})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_files_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "acts.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"no such file|cannot be read as npz"):
        import_activations(path, tmp_path / "out", release="r", sae_id="s")


ODD: dict[str, tuple[Callable[[dict[str, Any]], bytes], frozenset[int]]] = {
    **{title: (make, may) for title, make, may in FILES},
    **{title: (lambda a, change_of=change_of: saved(change_of(a)), may) for title, change_of, may in CHANGES},
}


@pytest.mark.parametrize("title", ODD)
def test_odd_files(tmp_path: Path, title: str) -> None:
    """Those of `scripts/soak inputs`: imported, or refused in one line with nothing written."""
    make, may = ODD[title]
    (tmp_path / "acts.npz").write_bytes(make(random_arrays(3, tokens=300, n_latents=12)))
    said = ""
    try:
        import_activations(tmp_path / "acts.npz", tmp_path / "out", release="r", sae_id="s")
    except InputError as error:
        said = str(error)
    assert (2 if said else 0) in may
    assert (tmp_path / "out").exists() == (not said)


@pytest.mark.parametrize("sae_id", ["", "a b", "a:b", "/a", "a/", "a//b", "a\n"])
def test_identities_that_cannot_be_a_uid(tmp_path: Path, sae_id: str) -> None:
    with pytest.raises(InputError, match="cannot name an SAE"):
        run(tmp_path, good(), sae_id=sae_id)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"holds thesis\.tex and is not a capture"):
        run(tmp_path, good(), force=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_force_leaves_what_is_not_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "shards").mkdir(parents=True)
    (out / "manifest.json").write_text('{"name": "my web extension"}')
    (out / "data.parquet").write_text("mine")
    with pytest.raises(InputError, match="is not a capture"):
        run(tmp_path, good(), force=True)
    assert (out / "data.parquet").read_text() == "mine"


def test_an_import_that_died_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cofire.ingest.import_activations.write_parquet", die)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, good())
    with pytest.raises(CaptureError, match="unfinished"):
        CaptureDir.open(tmp_path / "out")
    assert run(tmp_path, good()).manifest.rows == 3


def test_the_same_activations_under_another_name_are_the_same(tmp_path: Path) -> None:
    run(tmp_path, good())
    (tmp_path / "acts.npz").rename(tmp_path / "other.npz")
    again = import_activations(tmp_path / "other.npz", tmp_path / "out", release="r", sae_id="s")
    assert again.manifest.text.sources == [str(tmp_path / "acts.npz")]


def test_surrogates_in_a_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"token_text\[1\]"):
        run(tmp_path, {**good(), "token_text": np.array(["a", "\ud800"])})
    assert not (tmp_path / "out").exists()


def test_force_over_a_directory_with_something_of_the_system(tmp_path: Path) -> None:
    (run(tmp_path, good()).path / "shards/.DS_Store").write_text("")
    assert run(tmp_path, random_arrays(1), force=True).manifest.n_latents == 12


def test_two_writers_of_one_capture(tmp_path: Path) -> None:
    from cofire.common.files import exclusive

    (tmp_path / "out").mkdir()
    with exclusive(tmp_path / "out"), pytest.raises(CaptureError, match="another cofire"):
        run(tmp_path, good())
    assert run(tmp_path, good()).manifest.rows == 3


@pytest.mark.parametrize("character", ["a", "é", "\U0001f600"])
def test_a_text_that_no_index_takes_is_refused(tmp_path: Path, character: str) -> None:
    most = LONGEST_TEXT // len(character.encode())
    arrays = good()
    arrays["token_text"] = np.array(["a", character * (most + 1)])
    size = f"{len((character * (most + 1)).encode()):,}"
    with pytest.raises(InputError, match=rf"acts.npz: token_text\[1\] has {size} bytes .* 8,100 are the most"):
        run(tmp_path, arrays)
    assert not (tmp_path / "out").exists()
    arrays["token_text"] = np.array(["a", character * most])
    assert run(tmp_path, arrays).vocabulary() == {0: "a", 1: character * most}


@pytest.mark.parametrize("name", ["model", "hook"])
def test_names_of_what_was_read_are_bounded(tmp_path: Path, name: str) -> None:
    for text in ("x" * 1001, "", " ", "a\nb", "a\x1b[31mb", "a\udc80b"):
        with pytest.raises(InputError, match=f"^{name} ") as error:
            run(tmp_path, good(), **{name: text})
        assert len(str(error.value)) < 200
        assert not (tmp_path / "out").exists()
    assert run(tmp_path, good(), **{name: "\U0001f600" * 1000})


@pytest.mark.parametrize("layer", [-1, 2**31, 10**400], ids=["negative", "large", "huge"])
def test_a_layer_that_is_none(tmp_path: Path, layer: int) -> None:
    with pytest.raises(InputError, match=r"^the layer is not between 0 and 2,147,483,647; give"):
        run(tmp_path, good(), layer=layer)
