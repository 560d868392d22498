"""The residuals beside the shards: what is stored, of which tokens, and what becomes of damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from builders import make_capture, random_arrays
from cofire.common.hashing import place_hash
from cofire.errors import CaptureError
from cofire.ingest.capture import capture as capture_text
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.residuals import sampled, to_half, to_single
from cofire.ingest.capturing.encode import Encoded, select_residuals
from cofire.ingest.capturing.resume import clear, verify
from cofire.ingest.import_activations import import_activations
from cofire.ingest.noise.sample import residual_sample
from reference import Reference
from repository import EXAMPLES


def with_x(seed: int, d: int = 5, **more: Any) -> dict[str, Any]:
    arrays = random_arrays(seed, **more)
    rows = len(arrays["indptr"]) - 1
    return arrays | {"x": np.random.default_rng(seed).normal(size=(rows, d)).astype(np.float16)}


@example(np.full((1, 1), np.finfo(np.float32).max))
@example(np.full((1, 1), np.finfo(np.float32).min))
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_every_finite_row_survives_to_eleven_bits(x: np.ndarray) -> None:
    half, exponent = to_half(x)
    assert np.isfinite(half).all()
    back = to_single(half, exponent).astype(np.float64)
    unit = np.maximum(np.abs(half.astype(np.float64)), 2.0**-14) * 2.0 ** (exponent.astype(np.float64)[:, None] - 11)
    # The last term is float32's own smallest step, which a scaled-back number cannot be finer than.
    assert (np.abs(back - x) <= unit + 2.0**-149).all()
    largest = np.abs(x).max(axis=1)
    assert (exponent[(largest >= 1) & (largest <= 65504)] == 0).all()


def test_float16_is_stored_as_it_is() -> None:
    x = np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float16) * np.float16(100)
    x[:, 0] = 300
    half, exponent = to_half(x)
    np.testing.assert_array_equal(half, x)
    assert not exponent.any()


def test_the_sample_is_by_place_alone() -> None:
    document = np.repeat(np.arange(200, dtype=np.int32), 500)
    position = np.tile(np.arange(500, dtype=np.int32), 200)
    assert len(np.unique(place_hash(document, position))) == len(document)
    tenth = sampled(document, position, 0.1)
    # 100,000 draws: a share of .1 varies by .00095.
    assert abs(tenth.mean() - 0.1) < 0.004
    third = sampled(document, position, 0.3)
    assert third[tenth].all()
    assert sampled(document, position, 1).all()
    assert not sampled(document, position, None).any()
    order = np.random.default_rng(1).permutation(len(document))
    np.testing.assert_array_equal(sampled(document[order], position[order], 0.1), tenth[order])
    by_document = tenth.reshape(200, 500).mean(axis=1)
    assert by_document.std() < 0.02  # binomial: .0134


def test_selected_rows_keep_their_residuals() -> None:
    encoded = Encoded(
        norms=np.ones(5, np.float32),
        sampled=np.array([True, False, True, True, False]),
        residuals=np.array([[0.0], [2.0], [3.0]], np.float32),
        indptr=np.zeros(6, np.int64),
        indices=np.zeros(0, np.int32),
        values=np.zeros(0, np.float32),
    )
    rows, x = select_residuals(encoded, np.array([False, True, True, True, True]))
    assert (rows.tolist(), x.tolist()) == ([1, 2], [[2.0], [3.0]])


def test_an_import_stores_x_of_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = with_x(0)
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 64)
    capture = make_capture(tmp_path, arrays)
    assert capture.has_residuals
    found = list(capture.residuals())
    assert [one.number for one in found] == list(range(7))
    for one, shard in zip(found, capture.shards(), strict=True):
        assert one.rows.tolist() == list(range(shard.rows))
    np.testing.assert_array_equal(np.concatenate([x for one in found for _, x in one.chunks()]), arrays["x"])


def test_captures_of_before_open_and_have_none(tmp_path: Path) -> None:
    path = make_capture(tmp_path, random_arrays(0)).path
    content = json.loads((path / "manifest.json").read_text())
    for shard in content["shards"]:
        del shard["residuals"]
    for name in ("apply_b_dec_to_input", "rescale_acts_by_decoder_norm"):
        del content["sae"][name]
    (path / "manifest.json").write_text(json.dumps(content))
    capture = CaptureDir.open(path)
    assert not capture.has_residuals
    with pytest.raises(CaptureError, match=r"has no residuals; .*--residuals"):
        next(capture.residuals())


def test_the_sample_is_the_lowest_hashes_however_the_text_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = with_x(2)
    whole = residual_sample(make_capture(tmp_path / "one", arrays), 150)
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 37)
    capture = make_capture(tmp_path / "many", arrays)
    parts = residual_sample(capture, 150)
    for name in ("hash", "half", "exponent", "indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    shards = list(capture.shards())
    document, position = (np.concatenate([getattr(s, name) for s in shards]) for name in ("document", "position"))
    order = np.argsort(place_hash(document, position))[:150]
    np.testing.assert_array_equal(whole.x(), arrays["x"][order].astype(np.float32))
    indptr = arrays["indptr"]
    for row, at in enumerate(order):
        mine, theirs = slice(whole.indptr[row], whole.indptr[row + 1]), slice(indptr[at], indptr[at + 1])
        np.testing.assert_array_equal(whole.indices[mine], arrays["indices"][theirs])
        np.testing.assert_array_equal(whole.values[mine], arrays["values"][theirs])
    assert len(residual_sample(capture, 10_000).hash) == 400


def spoiled(change: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if change == "a row less":
        return {name: tensor[:-1] for name, tensor in tensors.items()}
    if change == "no exponent":
        return {name: tensor for name, tensor in tensors.items() if name != "exponent"}
    if change == "another dtype":
        return tensors | {"x": tensors["x"].astype(np.float32)}
    if change == "falling rows":
        return tensors | {"rows": tensors["rows"][::-1].copy()}
    if change == "rows beyond the shard":
        return tensors | {"rows": tensors["rows"] + np.int32(1)}
    return tensors | {"x": np.full_like(tensors["x"], np.inf)}


@pytest.mark.parametrize(
    "change", ["a row less", "no exponent", "another dtype", "falling rows", "rows beyond the shard", "not finite"]
)
def test_a_file_that_is_not_what_the_manifest_says(tmp_path: Path, change: str) -> None:
    from safetensors.numpy import load_file, save_file

    capture = make_capture(tmp_path, with_x(0))
    verify(capture.path, capture.manifest.model_copy(update={"text": capture.manifest.text}))
    file = capture.path / "residuals/residuals-00000.safetensors"
    save_file(spoiled(change, load_file(file)), file)
    with pytest.raises(CaptureError, match=r"residuals-00000\.safetensors does not hold what the manifest says"):
        list(CaptureDir.open(capture.path).residuals())
    with pytest.raises(CaptureError, match=r"residuals-00000\.safetensors is damaged"):
        verify(capture.path, capture.manifest)


def test_a_torn_and_a_missing_file(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, with_x(0))
    file = capture.path / "residuals/residuals-00000.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(CaptureError, match="cannot be read"):
        list(capture.residuals())
    file.unlink()
    with pytest.raises(CaptureError, match=r"residuals/residuals-00000\.safetensors is missing"):
        CaptureDir.open(capture.path)


def test_force_and_clear_take_the_residuals_away(tmp_path: Path) -> None:
    path = make_capture(tmp_path, with_x(0)).path
    (path / "residuals.safetensors").write_bytes(b"of an import of before")
    np.savez(tmp_path / "other.npz", **random_arrays(1))
    again = import_activations(tmp_path / "other.npz", path, release="test", sae_id="a/b", force=True)
    assert not again.has_residuals
    assert not (path / "residuals").exists()
    assert not (path / "residuals.safetensors").exists()
    path = make_capture(tmp_path / "two", with_x(0)).path
    (path / "residuals/residuals-00003.safetensors.part").write_bytes(b"half")
    (path / "manifest.json").write_text("{")
    clear(path)
    assert not path.exists()


def test_the_stored_residuals_are_the_model_s_whatever_the_shards(smollm2_dir: Path, tmp_path: Path) -> None:
    """Two cuts of the same text store the same tokens; each x is what the model gives on its window alone."""
    layer, text = str(EXAMPLES / "layer_12"), "Emma Woodhouse, handsome, clever, and rich, " * 12
    (tmp_path / "text.txt").write_text(text)
    settings: dict[str, Any] = {"context": 16, "device": "cpu", "residual_share": 0.5, "norm_factor": 4.0}

    def run(name: str, **cut: int) -> CaptureDir:
        (one,) = capture_text(smollm2_dir, [layer], tmp_path / "text.txt", tmp_path / name, **settings, **cut)
        return one

    found = {}
    for name, cut in (("small", {"batch": 1, "shard_tokens": 16}), ("large", {"batch": 3, "shard_tokens": 4000})):
        capture = run(name, **cut)
        found[name] = {
            int(shard.position[row]): x
            for shard, stored in zip(capture.shards(), capture.residuals(), strict=True)
            for rows, block in stored.chunks()
            for row, x in zip(rows, block, strict=True)
        }
        assert (len(capture.manifest.shards) > 1) == (name == "small")
    small, large = found["small"], found["large"]
    assert small.keys() == large.keys()
    reference = Reference.load(smollm2_dir)
    expected = reference.residuals(reference.tokens(text), "blocks.12.hook_resid_post", 16, True).numpy()
    assert 0.3 < len(small) / len(expected) < 0.7
    for position, x in small.items():
        assert np.abs(x - large[position]).max() <= np.abs(x).max() * 2.0**-9
        np.testing.assert_allclose(x, expected[position], rtol=2.0**-10, atol=1e-2)
