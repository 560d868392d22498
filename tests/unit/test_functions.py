"""Function of a cluster: the evidence by hand, and labels on planted worlds of TEST_SEEDS, exceptions included."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest

from builders import arrays_of, make_capture
from cofire.analysis.function_coefficients import COEFFICIENTS, RANGES
from cofire.analysis.function_evidence import Evidence, function_evidence
from cofire.analysis.function_model import (
    CLASSES,
    FEATURES,
    MIN_TOKENS,
    THRESHOLD,
    design,
    features,
    function_probabilities,
)
from cofire.analysis.functions import cluster_functions
from cofire.errors import CaptureError, InputError
from cofire.ingest.count import count
from cofire.ingest.table_files import read_table
from cofire.schema.cluster_tables import CLUSTER_FUNCTIONS
from cofire.schema.tables import LATENTS
from cofire.worlds import DEV_SEEDS, TEST_SEEDS, cluster_world, write_capture


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
    assert found.spread is None or found.spread == pytest.approx(1 / 3)
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
    assert steps[-1][0] == steps[-1][1] == len(steps)
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
