"""The tokens of a cluster: equal to what a loop over a dense matrix finds, however the text is cut."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from builders import dense, make_capture, random_arrays
from cofire.analysis.activations.cluster_tokens import MOST_ALONE, cluster_tokens, shared_and_alone
from cofire.common.hashing import place_hash
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.shard import Shard

CLUSTERS = {
    "whole": np.arange(12),
    "some": np.array([0, 1, 5]),
    "overlapping": np.array([5, 2, 0]),
    "dead": np.array([10, 11]),
    "single": np.array([4]),
}


@dataclass
class Cut:
    """A capture whose rows are cut into shards anew."""

    whole: object
    rows: int

    def __post_init__(self):
        self.path, self.manifest, self.keeps_activations = self.whole.path, self.whole.manifest, True

    def shards(self):
        for shard in self.whole.shards():
            for low in range(0, shard.rows, self.rows):
                high = min(low + self.rows, shard.rows)
                first, last = shard.indptr[low], shard.indptr[high]
                yield Shard(
                    *(part[low:high] for part in (shard.document, shard.position, shard.token)),
                    shard.indptr[low : high + 1] - first,
                    shard.indices[first:last],
                    shard.values[first:last],
                )


@pytest.fixture
def arrays():
    return random_arrays(3)


@pytest.fixture
def capture(tmp_path, arrays):
    return make_capture(tmp_path, arrays)


def by_hand(arrays, capture, latents, least, greatest, most, floor):
    """Rows, documents, positions and activations, by a dense matrix."""
    matrix = dense(arrays)
    matrix = np.where(matrix > np.nan_to_num(floor), matrix, 0)[:, np.sort(latents)]
    number = (matrix > 0).sum(axis=1)
    rows = np.flatnonzero((number >= least) & (number <= (greatest or 99)))
    shard = next(iter(capture.shards()))
    hashes = place_hash(shard.document, shard.position)
    kept = np.sort(rows[np.argsort(hashes[rows])][:most])
    return len(rows), kept, shard.document[kept], shard.position[kept], matrix[kept]


@pytest.mark.parametrize(("least", "greatest"), [(1, None), (2, None), (3, None), (1, 1), (2, 3)])
@pytest.mark.parametrize("most", [7, 5000])
@pytest.mark.parametrize("floored", [False, True])
def test_as_a_dense_matrix_tells(arrays, capture, least, greatest, most, floored):
    floor = np.linspace(0, 3, 12) if floored else np.zeros(12)
    floor[3] = np.nan if floored else 0
    found = cluster_tokens(
        capture, CLUSTERS, least=least, greatest=greatest, most=most, floor=floor if floored else None
    )
    assert list(found) == list(CLUSTERS)
    for uid, latents in CLUSTERS.items():
        tokens, rows, document, position, activations = by_hand(arrays, capture, latents, least, greatest, most, floor)
        got = found[uid]
        assert got.tokens == tokens
        assert got.members.tolist() == sorted(latents.tolist())
        np.testing.assert_array_equal(got.row, rows)
        np.testing.assert_array_equal(got.document, document)
        np.testing.assert_array_equal(got.position, position)
        np.testing.assert_array_equal(got.activations, activations)
        assert (got.activations.dtype, got.row.dtype, got.document.dtype) == (np.float32, np.int64, np.int32)


def test_the_sample_does_not_depend_on_the_shards(capture, monkeypatch):
    shards = len(capture.manifest.shards)
    assert shards == 1
    whole = cluster_tokens(capture, CLUSTERS, most=11)
    for rows in (1, 7, 100):
        cut = cluster_tokens(Cut(capture, rows), CLUSTERS, most=11)
        for uid in CLUSTERS:
            np.testing.assert_array_equal(cut[uid].row, whole[uid].row)
            np.testing.assert_array_equal(cut[uid].activations, whole[uid].activations)
            assert cut[uid].tokens == whole[uid].tokens


def test_more_tokens_than_wait_at_once(tmp_path):
    # 60,000 tokens in 10 clusters: what waits is cut down several times on the way.
    rng = np.random.default_rng(0)
    fires = rng.random((60_000, 6)) < 0.6
    _row, column = np.nonzero(fires)
    arrays = {
        "indptr": np.concatenate([[0], np.cumsum(fires.sum(axis=1))]),
        "indices": column.astype(np.int32),
        "values": rng.uniform(0.1, 1, len(column)).astype(np.float32),
        "n_latents": np.int64(6),
        "doc": np.sort(rng.integers(0, 300, 60_000)),
    }
    capture = make_capture(tmp_path, arrays)
    clusters = {f"{a}-{b}": np.array([a, b]) for a in range(5) for b in range(a + 1, 6)}
    whole = cluster_tokens(capture, clusters, most=40)
    cut = cluster_tokens(Cut(capture, 5000), clusters, most=40)
    for uid, latents in clusters.items():
        assert whole[uid].tokens == cut[uid].tokens == int(fires[:, latents].all(axis=1).sum())
        assert len(whole[uid].row) == 40
        np.testing.assert_array_equal(whole[uid].row, cut[uid].row)
        np.testing.assert_array_equal(whole[uid].activations, cut[uid].activations)


def test_other_values_take_the_place_of_the_activations(arrays, capture):
    found = cluster_tokens(capture, CLUSTERS, values=lambda shard: shard.values - np.float32(2))
    matrix = np.maximum(dense(arrays) - np.float32(2), 0)[:, CLUSTERS["some"]]
    rows = np.flatnonzero((matrix > 0).sum(axis=1) >= 2)
    np.testing.assert_array_equal(found["some"].row, rows)
    np.testing.assert_allclose(found["some"].activations, matrix[rows])


def test_a_threshold_below_0_is_no_floor(capture):
    """What is left of an activation after known interference may be below 0 and above an imported threshold."""

    def less(shard):
        return shard.values - np.float32(2)

    floors = np.r_[np.full(6, -1.0), np.full(6, np.nan)]
    found, bare = (cluster_tokens(capture, CLUSTERS, least=1, values=less, floor=floor) for floor in (floors, None))
    for uid in CLUSTERS:
        assert (found[uid].firings.data > 0).all()
        np.testing.assert_array_equal(found[uid].row, bare[uid].row)
        np.testing.assert_array_equal(found[uid].activations, bare[uid].activations)


def test_one_pass_gives_both_sorts(capture):
    floor = np.full(12, 0.5)
    shared, alone = shared_and_alone(capture, CLUSTERS, most=9, most_alone=8, floor=floor)
    together = cluster_tokens(capture, CLUSTERS, most=9, floor=floor)
    every = cluster_tokens(capture, CLUSTERS, least=1, greatest=1, floor=floor)
    lowest = cluster_tokens(capture, CLUSTERS, least=1, greatest=1, most=8, floor=floor)
    assert list(shared) == list(alone) == list(CLUSTERS)
    for uid in CLUSTERS:
        assert shared[uid].tokens == together[uid].tokens
        np.testing.assert_array_equal(shared[uid].row, together[uid].row)
        np.testing.assert_array_equal(shared[uid].activations, together[uid].activations)
        # Of those where one member fires alone, the lowest hashes of each member.
        hashes = place_hash(every[uid].document, every[uid].position)
        fires = every[uid].activations > 0
        kept = np.zeros(len(hashes), bool)
        for member in fires.T:
            mine = np.flatnonzero(member)
            kept[mine[np.argsort(hashes[mine])][:8]] = True
        assert alone[uid].tokens == every[uid].tokens
        np.testing.assert_array_equal(alone[uid].row, every[uid].row[kept])
        np.testing.assert_array_equal(alone[uid].activations, every[uid].activations[kept])
        assert np.isin(lowest[uid].row, alone[uid].row).all()
    assert len(alone["whole"].row) > 8 < alone["whole"].tokens


def test_both_sorts_do_not_depend_on_the_shards(capture):
    whole = shared_and_alone(capture, CLUSTERS, most=11, most_alone=3)
    assert len(whole[1]["some"].row) > 3
    for rows in (1, 7, 100):
        cut = shared_and_alone(Cut(capture, rows), CLUSTERS, most=11, most_alone=3)
        for one, other in zip(whole, cut, strict=True):
            for uid in CLUSTERS:
                np.testing.assert_array_equal(one[uid].row, other[uid].row)
                np.testing.assert_array_equal(one[uid].activations, other[uid].activations)
                assert one[uid].tokens == other[uid].tokens


def test_a_member_that_is_often_alone_does_not_crowd_out_the_others(tmp_path):
    # 250,000 tokens of the one, so that what waits is cut down on the way, and 12 of the other.
    rng = np.random.default_rng(1)
    latent = np.zeros(250_012, np.int32)
    latent[rng.choice(len(latent), 12, replace=False)] = 1
    arrays = {
        "indptr": np.arange(len(latent) + 1),
        "indices": latent,
        "values": rng.uniform(0.1, 1, len(latent)).astype(np.float32),
        "n_latents": np.int64(2),
        "doc": np.sort(rng.integers(0, 300, len(latent))),
    }
    capture = make_capture(tmp_path, arrays)
    for source in (capture, Cut(capture, 30_000)):
        _, alone = shared_and_alone(source, {"c": np.array([0, 1])})
        assert alone["c"].tokens == len(latent)
        assert (alone["c"].activations > 0).sum(axis=0).tolist() == [MOST_ALONE, 12]
        np.testing.assert_array_equal(alone["c"].row[alone["c"].activations[:, 1] > 0], np.flatnonzero(latent == 1))


def test_no_clusters_and_progress(capture):
    told = []
    assert cluster_tokens(capture, {}, progress=lambda *at: told.append(at)) == {}
    assert told == [(1, 1)]


@pytest.mark.parametrize(
    ("members", "arguments", "message"),
    [
        ({"c": np.array([0, 12])}, {}, "a latent outside 0..11"),
        ({"c": np.array([-1, 2])}, {}, "a latent outside 0..11"),
        ({"c": np.array([2, 2])}, {}, "stands twice"),
        ({}, {"least": 0}, "least 0"),
        ({}, {"least": 2, "greatest": 1}, "greatest 1"),
        ({}, {"most": 0}, "most 0"),
    ],
)
def test_what_is_wrong_is_said(capture, members, arguments, message):
    with pytest.raises(InputError, match=message):
        cluster_tokens(capture, members, **arguments)


@pytest.mark.parametrize("arguments", [{"most": 0}, {"most_alone": 0}])
def test_no_tokens_of_a_sort_cannot_be_asked_for(capture, arguments):
    with pytest.raises(InputError, match="give 1 and more"):
        shared_and_alone(capture, CLUSTERS, **arguments)


def test_without_activations(capture):
    bare = dataclasses.replace(capture, manifest=capture.manifest.model_copy(update={"counts": object()}))
    with pytest.raises(CaptureError, match="--no-keep"):
        cluster_tokens(bare, CLUSTERS)
