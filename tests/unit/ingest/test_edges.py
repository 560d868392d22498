"""The edge table of whole captures, against a plain computation of every column; clear firings, strata, the rule."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

from builders import arrays_of, dense, make_capture, random_arrays
from cofire.errors import InputError
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.table_files import read_table, table_infos
from cofire.ingest.count import CountSettings, count
from cofire.ingest.import_activations import import_activations
from cofire.ingest.noise.floor import MAD_TO_SIGMA
from cofire.schema.tables import CENTROIDS, CONDITIONALS, EDGES, LATENTS

TEST_SEEDS = (200, 201, 202)
Matrix = np.ndarray[Any, np.dtype[Any]]


def edges_of(capture: CaptureDir) -> pd.DataFrame:
    return read_table(capture, EDGES).to_pandas()


def log_odds(x: float, n_a: int, n_b: int, t: int) -> float:
    return float(np.log((x + 0.5) * (t - n_a - n_b + x + 0.5) / ((n_a - x + 0.5) * (n_b - x + 0.5))))


def plain(fires: Matrix, stratum: Matrix) -> pd.DataFrame:
    """O, E, p, q, z and log odds of every pair that co-fires, from the formulas as they are written."""
    tokens, n = fires.shape
    rows = []
    for a, b in combinations(range(n), 2):
        observed = int((fires[:, a] & fires[:, b]).sum())
        if not observed:
            continue
        expected, variance = Fraction(0), Fraction(0)
        for d in np.unique(stratum):
            inside = fires[stratum == d]
            length, s_a, s_b = len(inside), int(inside[:, a].sum()), int(inside[:, b].sum())
            expected += Fraction(s_a * s_b, length)
            if length > 1:
                variance += Fraction(s_a * (length - s_a) * s_b * (length - s_b), length**2 * (length - 1))
        e, n_a, n_b = float(expected), int(fires[:, a].sum()), int(fires[:, b].sum())
        rows.append(
            {
                "a": a,
                "b": b,
                "observed": observed,
                "expected": e,
                "p": float(poisson.sf(observed - 1, e)) if observed >= e + 1 else 1.0,
                "z": (observed - e) / float(variance) ** 0.5 if variance else np.nan,
                "log_odds": log_odds(observed, n_a, n_b, tokens) - log_odds(e, n_a, n_b, tokens),
            }
        )
    table = pd.DataFrame(rows)
    live = int(fires.any(axis=0).sum())
    p = np.where((table["observed"] >= 20) & (table["log_odds"] >= 1), table["p"], 1.0)
    order = np.argsort(p)
    q = p[order] * (live * (live - 1) // 2) / np.arange(1, len(p) + 1)
    table.loc[order, "q"] = np.minimum(np.minimum.accumulate(q[::-1])[::-1], 1)
    return table


def assert_measures(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert got[["a", "b"]].to_numpy().tolist() == expected[["a", "b"]].to_numpy().tolist()
    for name in ("expected", "p", "q", "z", "log_odds"):
        np.testing.assert_allclose(
            got[name].to_numpy(float), expected[name].to_numpy(float), rtol=1e-6, atol=1e-7, err_msg=name
        )


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_all_measures_equal_the_formulas(tmp_path: Path, seed: int) -> None:
    arrays = random_arrays(seed, tokens=900, documents=25)
    capture = make_capture(tmp_path, arrays)
    count(capture, CountSettings(edges="all"))
    got = edges_of(capture)
    expected = plain(dense(arrays) > 0, arrays["doc"])
    assert got["count"].tolist() == expected["observed"].tolist()
    assert_measures(got, expected)
    assert got["clear_count"].isna().all()
    assert not got["weak_only"].any()
    count(capture, CountSettings())
    kept = expected[(expected["observed"] >= 20) & (expected["q"] <= 0.01) & (expected["log_odds"] >= 1)]
    assert_measures(edges_of(capture), kept)
    assert len(kept)
    figures = table_infos(capture)["edges"].figures
    assert figures["pairs_that_co_fired"] == len(expected)
    assert figures["pairs_frequent"] == (expected["observed"] >= 20).sum()
    assert figures["pairs_strong"] == ((expected["observed"] >= 20) & (expected["log_odds"] >= 1)).sum()
    assert figures["pairs_significant"] == figures["pairs_passing"] == figures["pairs_kept"] == len(kept)


@pytest.mark.parametrize("many", [1, 3])
def test_frequent_tokens_as_strata(tmp_path: Path, many: int) -> None:
    arrays = random_arrays(7, tokens=800, documents=12)
    capture = make_capture(tmp_path, arrays)
    count(capture, CountSettings(edges="all", token_strata=many))
    seen = np.bincount(arrays["token"])
    frequent = sorted(np.argsort(-seen, kind="stable")[:many].tolist())
    kind = np.array([frequent.index(t) if t in frequent else many for t in arrays["token"].tolist()])
    assert_measures(edges_of(capture), plain(dense(arrays) > 0, arrays["doc"] * (many + 1) + kind))


def test_token_strata_without_tokens_are_refused(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, arrays_of([{0: 1.0}], 1))
    with pytest.raises(InputError, match="token-strata"):
        count(capture, CountSettings(token_strata=5))
    assert not list(capture.tables.glob("*.parquet"))


def noisy_capture(folder: Path, seed: int) -> tuple[CaptureDir, Matrix, Matrix, Matrix]:
    """A capture with residuals: activations, pre-activations [T, N] and documents [T].

    Latents 0 and 1 fire strongly together. Latents 2 and 3 read almost the same direction, where there is only noise,
    and fire from two of its standard deviations on: together, but seldom above three.
    """
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    tokens, d, n = 3000, 12, 6
    x = rng.normal(0, 1, (tokens, d))
    both = rng.random(tokens) < 0.06
    x[both, 0] += 8
    x[both, 1] += 8
    w_enc = np.zeros((d, n), np.float32)
    for latent in range(n):
        w_enc[latent, latent] = 1
    w_enc[:, 3] = w_enc[:, 2] * 0.9 + np.eye(d)[7] * 0.3
    x = x.astype(np.float16)
    b_enc = np.array([-1, -1, -2, -2, -1, -1], np.float32)
    h = x.astype(np.float32) @ w_enc + b_enc
    a = np.maximum(h, 0)
    document = np.arange(tokens) // 100
    rows = [{int(i): float(row[i]) for i in np.flatnonzero(row > 0)} for row in a]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "acts.npz", **arrays_of(rows, n, doc=document, x=x))
    save_file({"W_enc": w_enc, "b_enc": b_enc, "W_dec": np.ascontiguousarray(w_enc.T)}, folder / "w.safetensors")
    capture = import_activations(
        folder / "acts.npz", folder / "capture", release="test", sae_id="noisy", weights=folder / "w.safetensors"
    )
    return capture, a, h, document


@pytest.mark.parametrize("denoise", [True, False])
def test_clear_firings_are_judged_and_weak_only_pairs_are_flagged(tmp_path: Path, denoise: bool) -> None:
    capture, a, h, document = noisy_capture(tmp_path, 300)
    count(capture, CountSettings(edges="all", denoise=denoise))
    words = table_infos(capture)["edges"].settings["noise_floor"]
    # The one overlap of its directions, of 2 and 3, is a neighbour's, so the activations stay as they are either way.
    assert words == "residuals of 3,000 tokens" + denoise * ", firings judged less the interference of other latents"
    off = np.where(a > 0, np.nan, h)
    m0 = np.nanmedian(off, axis=0)
    sigma0 = MAD_TO_SIGMA * np.nanmedian(np.abs(off - m0), axis=0)
    latents = read_table(capture, LATENTS).to_pandas()
    np.testing.assert_allclose(latents["off_median"], m0, atol=2e-3)
    np.testing.assert_allclose(latents["sigma0"], sigma0, rtol=5e-3)
    # Compare with the floors as they are stored: they are the rule, and a rounding may move one firing.
    floor = latents["clear_floor"].to_numpy()
    clear = a.astype(np.float64) > floor
    assert latents["clear_firing_count"].tolist() == clear.sum(axis=0).tolist()
    got = edges_of(capture)
    everything, strict = plain(a > 0, document), plain(clear, document)
    joint = clear.T.astype(int) @ clear
    assert got["clear_count"].tolist() == [joint[i, j] for i, j in zip(got["a"], got["b"], strict=True)]

    def passes(table: pd.DataFrame) -> set[tuple[int, int]]:
        good = table[(table["observed"] >= 20) & (table["q"] <= 0.01) & (table["log_odds"] >= 1)]
        return set(zip(good["a"], good["b"], strict=True))

    weak = passes(everything) - passes(strict)
    assert (0, 1) in passes(strict)
    assert (2, 3) in weak
    flagged = got[got["weak_only"]]
    assert set(zip(flagged["a"], flagged["b"], strict=True)) == weak
    assert_measures(flagged, everything.merge(flagged[["a", "b"]]))
    judged = got[~got["weak_only"] & (got["clear_count"] > 0)]
    assert_measures(judged, strict.merge(judged[["a", "b"]]))

    figures = table_infos(capture)["edges"].figures
    assert figures["pairs_weak_only"] == len(weak)
    assert figures["pairs_passing"] == len(passes(strict))
    assert figures["cosine_weak_only_median"] == pytest.approx(flagged["decoder_cosine"].median())
    count(capture, CountSettings())
    kept = edges_of(capture)
    assert set(zip(kept["a"], kept["b"], strict=True)) == passes(strict)
    count(capture, CountSettings(weak=True))
    kept = edges_of(capture)
    assert set(zip(kept["a"], kept["b"], strict=True)) == passes(strict) | weak
    assert len(read_table(capture, CONDITIONALS)) == 2 * len(kept)
    assert read_table(capture, CENTROIDS).column("latent").to_pylist() == list(range(6))


def test_conditionals_and_magnitude_of_kept_pairs(tmp_path: Path) -> None:
    capture, a, _, _ = noisy_capture(tmp_path, 301)
    count(capture, CountSettings(weak=True))
    both = (a[:, 0] > 0) & (a[:, 1] > 0)
    edge = edges_of(capture).set_index(["a", "b"]).loc[(0, 1)]
    assert edge["magnitude_r"] == pytest.approx(np.corrcoef(a[both, 0], a[both, 1])[0, 1], abs=1e-6)
    row = read_table(capture, CONDITIONALS).to_pandas().set_index(["latent", "given"]).loc[(1, 0)]
    assert row["count_on"] == both.sum()
    assert row["count_off"] == ((a[:, 1] > 0) & (a[:, 0] == 0)).sum()
    assert row["mean_on"] == pytest.approx(a[both, 1].mean())
    assert sum(row["histogram_on"]) == both.sum()


def test_memory_and_shards_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = noisy_capture(tmp_path / "1", 302)[0]
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 130)
    monkeypatch.setattr("cofire.ingest.edges.candidates.PAIRS_AT_ONCE", 2)
    second = noisy_capture(tmp_path / "2", 302)[0]
    assert len(second.manifest.shards) > len(first.manifest.shards)
    count(first, CountSettings(edges="all", weak=True))
    count(second, CountSettings(edges="all", weak=True, memory=20_000))
    for table in (EDGES, CONDITIONALS):
        assert read_table(first, table).equals(read_table(second, table))


@pytest.mark.parametrize("stop", ["pairs", "clear pairs", "significance", "conditionals 1/1", "examples"])
def test_a_count_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 500)
    monkeypatch.setattr("cofire.ingest.pairs.tally.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("cofire.ingest.pairs.tally.CHECKPOINT_SHARE", 1e9)
    capture = noisy_capture(tmp_path / "1", 303)[0]

    def interrupt(stage: str, done: int, _total: int) -> None:
        if stage == stop and done >= min(3, _total):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count(capture, CountSettings(), interrupt)
    assert not list(capture.tables.glob("*.parquet"))
    steps: list[tuple[str, int]] = []
    count(capture, CountSettings(), lambda stage, done, _total: steps.append((stage, done)))
    assert "firings" not in [stage for stage, _ in steps]
    if stop.endswith("pairs"):
        assert [done for stage, done in steps if stage == stop] == [4, 5, 6]
    undisturbed = noisy_capture(tmp_path / "2", 303)[0]
    count(undisturbed, CountSettings())
    for name in table_infos(undisturbed):
        file = f"{name}.parquet"
        assert (capture.tables / file).read_bytes() == (undisturbed.tables / file).read_bytes(), name


@pytest.mark.parametrize("edges", ["significant", "all"])
def test_latents_that_never_fire_clearly_are_no_fault(tmp_path: Path, edges: Any) -> None:
    from safetensors.numpy import save_file

    # Every activation lies below the floor: pre-activations of one spread, cut at one of it.
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2000, 6)).astype(np.float16)
    w_enc, b_enc = np.eye(6, dtype=np.float32), np.full(6, -0.4, np.float32)
    a = np.maximum(x.astype(np.float32) @ w_enc + b_enc, 0)
    rows = [{int(i): float(row[i]) for i in np.flatnonzero(row > 0)} for row in a]
    np.savez(tmp_path / "acts.npz", **arrays_of(rows, 6, x=x))
    save_file({"W_enc": w_enc, "b_enc": b_enc, "W_dec": w_enc}, tmp_path / "w.safetensors")
    capture = import_activations(
        tmp_path / "acts.npz", tmp_path / "c", release="test", sae_id="dim", weights=tmp_path / "w.safetensors"
    )
    count(capture, CountSettings(edges=edges))
    assert read_table(capture, LATENTS).column("clear_firing_count").to_pylist() == [0] * 6
    got = edges_of(capture)
    assert len(got) == (15 if edges == "all" else 0)
    assert (got["q"] == 1).all() or edges == "significant"


def test_settings_that_cannot_be_counted_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    capture = make_capture(tmp_path, arrays_of([{0: 1.0}], 2**20 + 1))
    with pytest.raises(InputError, match="1,048,576 latents"):
        count(capture)
    assert not capture.tables.exists()
