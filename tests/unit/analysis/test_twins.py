"""Twins: of two members that are never apart the one that fires less is left out, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from builders import arrays_of, make_capture
from cofire.analysis.functions.evidence import function_evidence
from cofire.analysis.functions.functions import cluster_functions
from cofire.analysis.functions.model import CLASSES, function_probabilities
from cofire.analysis.functions.twins import TWINS, without_twins
from cofire.ingest.capture_dir.table_files import read_table
from cofire.ingest.count import count
from cofire.schema.tables import LATENTS
from cofire.worlds import TEST_SEEDS


def split_up(matrix):
    """Return (shared, alone) of the activations [tokens, n] of a cluster."""
    number = (matrix > 0).sum(axis=1)
    return matrix[number >= 2], matrix[number == 1]


def mixture(seed, function, n=5, events=300, alone=600):
    """Activations [tokens, n]: each pair shares one weight (ambiguity) or is in full (composition)."""
    rng = np.random.default_rng([seed, 31])
    pair = rng.random((events, n)).argsort(axis=1) < 2
    share = rng.uniform(0.3, 0.7, (events, 1))
    amount = np.where(pair.argmax(axis=1)[:, None] == np.arange(n), share, 1 - share)
    matrix = np.zeros((events + alone * n, n))
    matrix[:events] = pair * (amount if function == "ambiguity" else 1.0)
    matrix[events + np.arange(alone * n), np.repeat(np.arange(n), alone)] = 1.0
    return np.where(matrix > 0, matrix * (1 + 0.05 * rng.standard_normal(matrix.shape)), 0)


def with_twin(matrix, of, share, rng):
    """Add a member that fires on this share of the tokens of another, in full of what that has."""
    on = (matrix[:, of] > 0) & (rng.random(len(matrix)) < share)
    return np.column_stack([matrix, on * matrix[:, of] * 0.7])


def evidence(matrix):
    """Return the evidence on the members that stay, and which these are."""
    firings = (matrix > 0).sum(axis=0)
    shared, _ = split_up(matrix)
    keep = without_twins(shared > 0, tokens=len(shared), firings=firings)
    shared, alone = split_up(matrix[:, keep])
    found = function_evidence(
        shared,
        alone,
        tokens=len(shared),
        mu=np.array([np.median(column[column > 0]) for column in matrix[:, keep].T]),
        is_mode=np.ones(keep.sum(), np.bool_),
        floor=np.full(keep.sum(), 0.1),
        firings=firings[keep],
    )
    return found, keep


@pytest.mark.parametrize("function", ["ambiguity", "composition"])
@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_a_split_member_does_not_change_what_a_cluster_is(seed, function):
    rng = np.random.default_rng(seed)
    plain = mixture(seed, function)
    (before, whole), (after, kept) = evidence(plain), evidence(with_twin(with_twin(plain, 0, 0.97, rng), 3, 0.9, rng))
    assert whole.all()
    assert kept.tolist() == [True] * 5 + [False] * 2
    assert after == before
    assert CLASSES[int(function_probabilities({"c": after})["with"]["c"].argmax())] == function


@pytest.mark.parametrize(("share", "left"), [(TWINS - 0.05, 2), (TWINS + 0.05, 1)])
def test_each_must_fire_nearly_always_with_the_other(share, left):
    both = np.ones((round(1000 * share), 2), np.bool_)
    assert without_twins(both, tokens=len(both), firings=np.array([1000, 1000])).sum() == left
    # A child is always with its parent, which is often without it: no twins.
    assert without_twins(np.ones((100, 2), np.bool_), tokens=100, firings=np.array([100, 400])).all()


def test_of_several_the_one_that_fires_most_stays():
    fires = np.zeros((100, 4), np.bool_)
    fires[:, 1] = fires[:95, 0] = fires[:90, 3] = fires[::2, 2] = True
    assert without_twins(fires, tokens=100, firings=np.array([95, 100, 50, 90])).tolist() == [False, True, True, False]


def test_a_sample_stands_for_all_tokens():
    fires = np.zeros((100, 3), np.bool_)
    fires[:80, :2] = fires[80:, 1:] = True
    assert without_twins(fires, tokens=1000, firings=np.array([850, 950, 5000])).tolist() == [False, True, True]
    assert without_twins(fires, tokens=1000, firings=np.array([850, 1050, 5000])).all()
    assert without_twins(fires[:0], tokens=0, firings=np.array([850, 950, 5000])).all()


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_a_few_sampled_tokens_make_no_twins(seed):
    """Rare pairs with a third of their firings in common, in clusters of which one token in ten is looked at."""
    rng = np.random.default_rng(seed)
    kept = []
    for _ in range(8):
        total, pairs = 50_000, 20
        fires = np.zeros((total, 2 * pairs + 2), np.bool_)
        fires[:, -2:] = rng.random((total, 2)) < 0.7
        for pair in range(pairs):
            fires[rng.choice(total, 20, replace=False)[:, None], [2 * pair, 2 * pair + 1]] = True
        firings = np.array([60] * (2 * pairs) + [35_000] * 2)
        kept.append(without_twins(fires[rng.choice(total, 5000, replace=False)], tokens=total, firings=firings))
    assert np.all(kept)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(TEST_SEEDS[0])
    fires = rng.random((300, 12)) < 0.4
    fires[:, 7] = fires[:, 2]
    fires[:, 11] = fires[:, 2] & (rng.random(300) < 0.95)
    firings = fires.sum(axis=0)
    whole = without_twins(fires, tokens=300, firings=firings)
    monkeypatch.setattr("cofire.analysis.functions.twins._BLOCK", 5)
    assert np.array_equal(without_twins(fires, tokens=300, firings=firings), whole)
    assert np.flatnonzero(~whole).tolist() == [7, 11]


def test_busy_twins_do_not_crowd_out_the_rest_of_a_cluster(tmp_path):
    """Of all the tokens that members share nearly all are those of two twins, far more than are looked at."""
    rng = np.random.default_rng(TEST_SEEDS[1])
    plain = mixture(TEST_SEEDS[1], "ambiguity", n=4, events=400)
    busy = np.zeros((40_000, 4))
    busy[:, 0] = 1 + 0.05 * rng.standard_normal(len(busy))
    twice = with_twin(np.concatenate([plain, busy]), 0, 0.99, rng)
    rows = [{k: float(v) for k, v in enumerate(row) if v > 0} for row in twice[rng.permutation(len(twice))]]
    capture = make_capture(tmp_path, arrays_of(rows, 5))
    count(capture)
    clusters = pa.table({"cluster": ["c"], "level": [0], "parent": pa.array([None], pa.string())})
    members = pa.table({"cluster": ["c"] * 5, "latent": pa.array(range(5), pa.int32())})
    latents = read_table(capture, LATENTS)
    steps = []
    (row,) = cluster_functions(
        capture, clusters, members, latents, progress=lambda done, total: steps.append((done, total))
    ).to_pylist()
    assert (row["twins"], row["tokens"], row["function"]) == (1, 400, "ambiguity")
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    (plainly,) = cluster_functions(capture, clusters, members.slice(0, 4), latents).to_pylist()
    assert row == {**plainly, "twins": 1}
