"""Function of a cluster: the evidence by hand, and labels on planted worlds of TEST_SEEDS, exceptions included."""

from __future__ import annotations

import dataclasses
import importlib.util
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp

from builders import arrays_of, make_capture
from cofire.analysis.activations.full_strength import known_latents
from cofire.analysis.functions.coefficients import COEFFICIENTS, RANGES
from cofire.analysis.functions.evidence import Evidence, function_evidence
from cofire.analysis.functions.functions import cluster_functions
from cofire.analysis.functions.model import (
    CLASSES,
    FEATURES,
    MIN_TOKENS,
    THRESHOLD,
    design,
    features,
    function_probabilities,
)
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.table_files import read_table
from cofire.ingest.count import count
from cofire.schema.cluster_tables import CLUSTER_FUNCTIONS
from cofire.schema.tables import LATENTS
from cofire.worlds import DEV_SEEDS, TEST_SEEDS, cluster_world, write_capture
from repository import ROOT


def evidence(shared, alone, *, mu=None, is_mode=None, floor=None, firings=None, tokens=None):
    shared, alone = np.asarray(shared, float), np.asarray(alone, float)
    n = shared.shape[1]
    fires = (shared > 0).sum(axis=0) + (alone > 0).sum(axis=0)
    return function_evidence(
        shared,
        alone,
        tokens=len(shared) if tokens is None else tokens,
        mu=np.ones(n) if mu is None else np.asarray(mu, float),
        is_mode=np.ones(n, bool) if is_mode is None else np.asarray(is_mode),
        floor=np.full(n, 0.1) if floor is None else np.asarray(floor, float),
        firings=fires if firings is None else np.asarray(firings),
    )


def test_by_hand():
    shared = [[2, 1, 0], [1, 1.5, 0], [0, 1, 8]]
    alone = [*[[2, 0, 0]] * 10, *[[4, 0, 0]] * 10, [0, 9, 0]]
    found = evidence(shared, alone, mu=[2, 1, 4], is_mode=[True, True, False], floor=[0.5, 0.4, 1])
    assert found.tokens == 3
    # s = 2, 2, 3; two members fire on each token.
    assert found.ratio_sum == pytest.approx(2.0)
    assert found.excess == pytest.approx(1.0)
    # Full strength alone is known of the first member only, of 2 firings in 6.
    assert found.excess_alone is None
    assert found.mode_share == pytest.approx(5 / 6)
    assert found.floor_share == pytest.approx((2 * 0.25 + 3 * 0.4 + 1 * 0.25) / 6)
    # Member 0 fires most; member 1 fires 4 times, twice with 0 and once with 2; member 2 once, with 1.
    assert found.containment == pytest.approx((2 / 4 + 1) / 2)
    # Alone 2 and 4 as often: mean 3, standard deviation 1; the others have too few tokens either way.
    assert found.spread == pytest.approx(1 / 3)
    assert found.magnitude_r is None


def test_full_strength_without_a_mode_is_the_mean_alone():
    shared, alone = [[2.0, 2.0]] * 4, [*[[4.0, 0]] * 10, *[[0, 4.0]] * 10]
    found = evidence(shared, alone, mu=[3, 3], is_mode=[False, False])
    assert found.ratio_sum == pytest.approx(4 / 3)
    assert found.excess == pytest.approx(0.0)
    assert found.excess_alone == pytest.approx(0.0)


def test_a_mode_right_above_the_floor_is_no_full_strength():
    shared, alone = [[2.0, 2.0]] * 4, [*[[4.0, 0]] * 10, *[[0, 4.0]] * 10]
    found = evidence(shared, alone, mu=[2, 2], floor=[1.5, 0.5])
    assert found.mode_share == pytest.approx(0.5)
    assert found.ratio_sum == pytest.approx(2)
    assert found.excess == pytest.approx(0.5)


def by_loop(shared):
    total = weight = 0.0
    for a in range(shared.shape[1]):
        for b in range(a):
            covariance = left = right = number = 0.0
            for k in range(2, shared.shape[1] + 1):
                at = ((shared > 0).sum(axis=1) == k) & (shared[:, a] > 0) & (shared[:, b] > 0)
                if at.sum() < 5:
                    continue
                x, y = shared[at, a], shared[at, b]
                # Each member in units of its mean at this k, as it is scaled there.
                level = (shared > 0).sum(axis=1) == k
                x = x / shared[level & (shared[:, a] > 0), a].mean()
                y = y / shared[level & (shared[:, b] > 0), b].mean()
                covariance += ((x - x.mean()) * (y - y.mean())).sum()
                left += ((x - x.mean()) ** 2).sum()
                right += ((y - y.mean()) ** 2).sum()
                number += at.sum()
            if number and left * right > 0:
                total += number * covariance / math.sqrt(left * right)
                weight += number
    return total / weight if weight else None


@pytest.mark.parametrize("seed", range(5))
def test_the_correlation_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    shared = rng.gamma(3, 1, (120, 5)) * (rng.random((120, 5)) < rng.uniform(0.2, 0.9, 5))
    shared = shared[(shared > 0).sum(axis=1) >= 2]
    found = evidence(shared, np.zeros((0, 5)))
    assert found.magnitude_r == pytest.approx(by_loop(shared), abs=1e-9)


def test_shares_of_one_weight_go_against_each_other_however_many_there_are():
    rng = np.random.default_rng(0)
    on = rng.random((4000, 6)).argsort(axis=1).argsort(axis=1) < rng.integers(2, 5, 4000)[:, None]
    share = rng.gamma(4, 1, on.shape) * on
    found = evidence(share / share.sum(axis=1, keepdims=True), np.zeros((0, 6)))
    assert found.excess == pytest.approx(0, abs=1e-9)
    assert found.ratio_sum == pytest.approx(1)
    # -1, -1/2 and -1/3 with two, three and four members.
    assert -0.75 < found.magnitude_r < -0.4


@pytest.mark.parametrize("block", [1, 2, 5, 100])
def test_a_large_cluster_is_taken_in_blocks_and_without_a_correlation(monkeypatch, block):
    rng = np.random.default_rng(3)
    shared = rng.gamma(3, 1, (120, 5)) * (rng.random((120, 5)) < rng.uniform(0.2, 0.9, 5))
    shared = shared[(shared > 0).sum(axis=1) >= 2]
    alone = np.diag(rng.gamma(3, 1, 5)).repeat(15, axis=0)
    whole = evidence(shared, alone, is_mode=np.zeros(5, bool))
    monkeypatch.setattr("cofire.analysis.functions.evidence.MOST_MEMBERS", 4)
    monkeypatch.setattr("cofire.analysis.functions.evidence._BLOCK", block)
    assert whole.magnitude_r is not None
    found = evidence(shared, alone, is_mode=np.zeros(5, bool))
    assert found == dataclasses.replace(whole, magnitude_r=None)
    fires, own = shared > 0, np.r_[shared, alone] > 0
    both = np.array([[(fires[:, a] & fires[:, b]).sum() * (a != b) for b in range(5)] for a in range(5)])
    most = both.max(axis=1) / own.sum(axis=0)
    assert found.containment == pytest.approx(np.delete(most, own.sum(axis=0).argmax()).mean())


def test_lone_tokens_may_be_sparse():
    rng = np.random.default_rng(4)
    shared = rng.gamma(3, 1, (50, 3)).astype(np.float32)
    alone = np.diag(np.ones(3)).repeat([30, 12, 4], axis=0) * rng.gamma(3, 1, (46, 1))
    known = {"tokens": 50, "mu": np.full(3, 2.0), "is_mode": np.zeros(3, bool), "floor": np.full(3, 0.1)}
    known["firings"] = np.array([80, 62, 54])
    dense = dataclasses.astuple(function_evidence(shared, alone.astype(np.float32), **known))
    sparse = dataclasses.astuple(function_evidence(shared, sp.csr_array(alone.astype(np.float32)), **known))
    assert sparse == pytest.approx(dense, rel=1e-12)


def test_equal_values_have_no_correlation():
    assert evidence([[3.3, 7.7, 1.1]] * 50, np.zeros((0, 3))).magnitude_r is None


def test_nothing_shared():
    found = evidence(np.zeros((0, 3)), np.ones((4, 3)))
    assert found == Evidence(0, *[None] * 8)
    assert features(found) is None


def test_unknown_strengths_leave_the_sum_undefined():
    found = evidence([[1.0, 2.0]] * 30, np.zeros((0, 2)), mu=[np.nan, np.nan], is_mode=[False, False])
    assert found.ratio_sum is found.excess is found.floor_share is None
    assert features(found) is None
    assert function_probabilities({"c": found}) == {"alone": {}, "with": {}}


def test_the_coefficients_fit_the_design():
    for variant, names in FEATURES.items():
        ranges = np.array(RANGES[variant])
        assert ranges.shape == (4, len(names))
        columns = design(np.zeros((1, len(names))), ranges).shape[1]
        assert np.array(COEFFICIENTS[variant]).shape == (len(CLASSES), columns)
    assert "containment" not in FEATURES["alone"]


def example(**changes):
    plain = Evidence(
        tokens=500, ratio_sum=2.0, excess=1.0, excess_alone=1.0, magnitude_r=0.0, mode_share=1.0, floor_share=0.12,
        spread=0.08, containment=0.3,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def shares(found):
    """The probability of composition against ambiguity, with containment and without."""
    p = function_probabilities({"c": found})
    return [p[v]["c"][0] / (p[v]["c"][0] + p[v]["c"][1]) for v in ("with", "alone")]


def test_more_excess_is_more_composition():
    steps = [shares(example(excess=x, excess_alone=x)) for x in np.linspace(0, 1, 11)]
    for told in zip(*steps, strict=True):
        assert all(np.diff(told) >= -0.02)
        assert told[0] < 0.1
        assert told[-1] > 0.9


@pytest.mark.parametrize("floor_share", [0.15, 0.4, 0.6, 0.7])
@pytest.mark.parametrize("magnitude_r", [0.0, 0.3])
def test_an_excess_far_above_full_strength_is_no_ambiguity(floor_share, magnitude_r):
    for excess in (1.5, 3.0, 6.0):
        found = example(
            excess=excess, excess_alone=excess, mode_share=0.0, floor_share=floor_share, spread=0.3,
            magnitude_r=magnitude_r,
        )  # fmt: skip
        assert min(shares(found)) > 0.5


def test_where_the_floor_is_high_less_is_told_without_containment():
    # Members that fire only above .7 of full strength, with an excess near that of two at the floor.
    high = function_probabilities(
        {"c": example(excess=0.8, excess_alone=0.8, floor_share=0.7, mode_share=0, spread=0.3)}
    )
    assert high["alone"]["c"].max() < THRESHOLD
    low = function_probabilities(
        {"c": example(excess=0.8, excess_alone=0.8, floor_share=0.1, mode_share=0, spread=0.3)}
    )
    assert low["alone"]["c"][CLASSES.index("ambiguity")] < 0.05


def planted(world, tmp_path):
    """The capture of a world, counted, and the tables of its planted clusters."""
    capture = write_capture(world, tmp_path / "capture", sae_id="w")
    count(capture)
    known = [c for c in world.clusters if c.function != "none"]
    names = [f"c-{number:03d}" for number in range(len(known))]
    clusters = pa.table(
        {"cluster": names, "level": [0] * len(known), "parent": pa.array([None] * len(known), pa.string())}
    )
    members = pa.table(
        {
            "cluster": [name for name, c in zip(names, known, strict=True) for _ in c.members],
            "latent": pa.array([m for c in known for m in c.members], pa.int32()),
        }
    )
    return capture, clusters, members, known


def auroc(score, positive):
    return float(
        (score[positive][:, None] > score[~positive]).mean() + (score[positive][:, None] == score[~positive]).mean() / 2
    )


@pytest.mark.parametrize("exceptions", [0.0, 0.5])
def test_composition_and_ambiguity_are_told_apart(tmp_path, exceptions):
    assert not set(TEST_SEEDS) & set(DEV_SEEDS)
    world = cluster_world(TEST_SEEDS[0], tokens=100_000, noise=0.06, exceptions=exceptions)
    capture, clusters, members, known = planted(world, tmp_path)
    steps = []
    table = cluster_functions(
        capture, clusters, members, read_table(capture, LATENTS), progress=lambda *at: steps.append(at)
    )
    assert table.schema == CLUSTER_FUNCTIONS.arrow_schema()
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    rows = table.to_pylist()
    truth = np.array([c.function for c in known])
    assert np.mean([row["function"] == t for row, t in zip(rows, truth, strict=True)]) >= 0.95
    either = np.isin(truth, ("composition", "ambiguity"))
    for ending in ("", "_alone"):
        p, q = (np.array([row[f"p_{f}{ending}"] for row in rows]) for f in ("composition", "ambiguity"))
        assert auroc((p / (p + q))[either], truth[either] == "composition") >= 0.95
        total = np.array([[row[f"p_{f}{ending}"] for f in CLASSES] for row in rows]).sum(axis=1)
        np.testing.assert_allclose(total, 1)
    # Without containment a hierarchy looks like a composition, and is not told from it.
    p, q = (np.array([row[f"p_{f}_alone"] for row in rows])[truth == "hierarchy"] for f in ("hierarchy", "ambiguity"))
    np.testing.assert_allclose(p, np.array([row["p_composition_alone"] for row in rows])[truth == "hierarchy"])
    assert (q < 0.05).all()


def test_coarser_clusters_few_tokens_and_nulls(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(300):
        rows += [{0: rng.normal(1, 0.05), 1: rng.normal(1, 0.05)}, {2: 1.0}, {3: rng.normal(1, 0.05)}]
        rows += [{int(k): rng.normal(1, 0.05)} for k in range(2)]
    rows += [{2: 1.0, 3: 1.0}] * (MIN_TOKENS - 1)
    capture = make_capture(tmp_path, arrays_of(rows, 6))
    count(capture)
    clusters = pa.table(
        {"cluster": ["b", "a", "dead", "both"], "level": [0, 0, 0, 1], "parent": ["both", "both", None, None]}
    )
    members = pa.table(
        {"cluster": ["b", "b", "a", "a", "dead", "dead"], "latent": pa.array([0, 1, 2, 3, 4, 5], pa.int32())}
    )
    table = cluster_functions(capture, clusters, members, read_table(capture, LATENTS))
    found = {row["cluster"]: row for row in table.to_pylist()}
    assert list(found) == ["a", "b", "both", "dead"]
    assert (found["b"]["tokens"], found["b"]["function"]) == (300, "composition")
    assert found["b"]["excess"] == pytest.approx(1, abs=0.1)
    assert (found["a"]["tokens"], found["a"]["function"], found["a"]["p_composition"]) == (19, "unclear", None)
    assert found["a"]["excess"] is not None
    assert found["both"]["tokens"] == 319
    assert (found["dead"]["tokens"], found["dead"]["function"], found["dead"]["excess"]) == (0, "unclear", None)
    assert all(not (isinstance(v, float) and math.isnan(v)) for row in found.values() for v in row.values())


def test_a_member_that_is_seldom_alone_keeps_its_own_full_strength(tmp_path):
    """One member is alone on 40,000 tokens and the other on 12; where both fire they share one weight."""
    rng = np.random.default_rng(0)
    share = rng.uniform(0.2, 0.8, 400)
    # Spread widely, so that no activation is a mode.
    rows = [{0: float(8 * s), 1: float(8 - 8 * s)} for s in share]
    rows += [{0: float(v)} for v in rng.uniform(4, 12, 40_000)] + [{1: float(v)} for v in np.linspace(4, 12, 12)]
    order = rng.permutation(len(rows))
    capture = make_capture(tmp_path, arrays_of([rows[k] for k in order], 2))
    count(capture)
    clusters = pa.table({"cluster": ["c"], "level": [0], "parent": pa.array([None], pa.string())})
    members = pa.table({"cluster": ["c", "c"], "latent": pa.array([0, 1], pa.int32())})
    latents = read_table(capture, LATENTS)
    # Both by their mean: that of the second, mostly shared, is about one half of its full strength.
    latents = latents.set_column(
        latents.column_names.index("mu_rule"), latents.schema.field("mu_rule"), pa.array(["mean", "mean"])
    )
    (row,) = cluster_functions(capture, clusters, members, latents).to_pylist()
    # Sums of other order differ in the last bits from one processor to the next.
    assert row["excess"] == pytest.approx(row["excess_alone"], abs=1e-12)
    assert row["excess"] == pytest.approx(0.0, abs=0.05)
    assert row["ratio_sum"] > 1.2


def test_the_calibration_keeps_a_planted_cluster_in_one_fold(capsys):
    path = ROOT / "bench" / "calibrate_functions.py"
    spec = importlib.util.spec_from_file_location("bench_calibrate_functions", path)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    worlds = [{"sort": "world", "seed": s, "cluster": c} for s in (1, 2) for _ in range(5) for c in range(40)]
    variable = [{"sort": "variable", "seed": s, "cluster": c} for s in (1, 2) for c in range(300)]
    data = pd.DataFrame(worlds + variable)
    data["fold"] = bench.folds(data)
    assert len(data.drop_duplicates()) == 2 * (40 + 300)
    assert data.groupby("sort")["fold"].nunique().tolist() == [5, 5]
    assert data["fold"].value_counts(normalize=True).between(0.13, 0.27).all()
    rows = bench.variable(12, DEV_SEEDS[0])
    assert rows["cluster"].tolist() == list(range(12))
    # .9 right, .8 wrong and .6 right: an error of (.1 + .8 + .4) / 3; all compositions above the ambiguity.
    p = np.array([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.1, 0.6, 0.3]])
    bench.told("with: by hand", p, np.array([0, 2, 1]))
    assert "AUROC 1.000  ECE 0.433" in capsys.readouterr().out


def test_what_is_known_of_the_latents(tmp_path):
    capture = make_capture(tmp_path, arrays_of([{0: 1.0, 1: 1.0}] * 40, 4))
    latents = pa.table(
        {
            "index": pa.array(range(4), pa.int32()),
            "mu": [2.0, 0.0, -1.0, None],
            "mu_rule": ["mode", "mean", "mean", None],
            "threshold": [0.5, 0.5, -0.5, 0.0],
            "clear_floor": [0.75, None, None, -0.25],
            "firing_count": [9, 8, 7, 6],
            "clear_firing_count": [5, None, None, 4],
        }
    )
    known = known_latents(capture, latents)
    np.testing.assert_array_equal(known.mu, [2.0, np.nan, np.nan, np.nan])
    assert known.is_mode.tolist() == [True, False, False, False]
    assert known.floor.tolist() == [0.75, 0.5, 0.0, 0.0]
    assert known.firings.tolist() == [5, 8, 7, 4]
    with pytest.raises(InputError, match="no column clear_floor"):
        known_latents(capture, latents.drop_columns(["clear_floor"]))
    with pytest.raises(InputError, match="not that of"):
        known_latents(capture, latents.slice(1))


def test_what_is_wrong_is_said(tmp_path):
    capture = make_capture(tmp_path, arrays_of([{0: 1.0, 1: 1.0}] * 40, 2))
    count(capture)
    clusters = pa.table({"cluster": ["c"], "level": [0], "parent": pa.array([None], pa.string())})
    members = pa.table({"cluster": ["c", "c"], "latent": pa.array([0, 1], pa.int32())})
    latents = read_table(capture, LATENTS)
    with pytest.raises(InputError, match="no column mu_rule"):
        cluster_functions(capture, clusters, members, latents.drop_columns(["mu_rule"]))
    with pytest.raises(InputError, match="not that of"):
        cluster_functions(capture, clusters, members, latents.slice(1))
    bare = dataclasses.replace(capture, manifest=capture.manifest.model_copy(update={"counts": object()}))
    with pytest.raises(CaptureError, match="--no-keep"):
        cluster_functions(bare, clusters, members, latents)
