"""A cluster's subspace is that of the dense contribution, its points are the text's, and what is undefined is null."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from safetensors.numpy import save_file

from builders import arrays_of, dense, random_arrays
from cofire.analysis.activations.clear_values import ClearValues
from cofire.analysis.activations.cluster_tokens import MOST_ALONE, cluster_tokens
from cofire.analysis.subspaces.subspaces import ALONE, FITTED, MIXTURES, OTHERS, cluster_subspaces
from cofire.errors import InputError
from cofire.ingest.capture_dir.table_files import read_table
from cofire.ingest.count import CountSettings, count
from cofire.ingest.import_activations import import_activations
from cofire.schema.tables import CLUSTERS, EDGES, LATENTS, MEMBERS, SUBSPACE_MIXTURES, SUBSPACE_POINTS, SUBSPACES
from cofire.worlds import TEST_SEEDS

UID = "test/a"


def capture_of(folder, arrays, directions=None):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "acts.npz", **arrays)
    weights = None
    if directions is not None:
        weights = folder / "weights.safetensors"
        save_file({"W_dec": np.asarray(directions, np.float32)}, weights)
    return import_activations(folder / "acts.npz", folder / "capture", release="test", sae_id="a", weights=weights)


def tables_of(groups, mu, floor=None, rule="mode"):
    """Clusters with the given members, and the latents' mu (NaN: unknown)."""
    names = [f"{UID}/c-{number:012x}" for number in range(len(groups))]
    clusters = [
        dict.fromkeys(field.name for field in CLUSTERS.arrow_schema())
        | {"cluster": name, "size": len(group), "level": 0, "resolution": 0.7, "seed": 0, "structure": "mixed"}
        for name, group in zip(names, groups, strict=True)
    ]
    members = [
        {"cluster": name, "latent": latent, "role": "member", "strength": 1.0}
        for name, group in zip(names, groups, strict=True)
        for latent in group
    ]
    latents = pa.table(
        {
            "index": np.arange(len(mu), dtype=np.int32),
            "mu": pa.array(mu, mask=~np.isfinite(mu)),
            "mu_rule": pa.array([rule] * len(mu), mask=~np.isfinite(mu)),
            "threshold": np.zeros(len(mu)),
            "clear_floor": pa.nulls(len(mu), pa.float64()) if floor is None else pa.array(floor),
            "firing_count": np.full(len(mu), 100),
            "clear_firing_count": pa.nulls(len(mu), pa.int64()) if floor is None else pa.array(np.full(len(mu), 50)),
        }
    )
    return (
        pa.Table.from_pylist(clusters, schema=CLUSTERS.arrow_schema()),
        pa.Table.from_pylist(members, schema=MEMBERS.arrow_schema()),
        latents,
    )


def check(tables):
    """Schema, keys in order, and no NaN anywhere; returned as lists of rows."""
    rows = []
    assert list(tables) == ["subspaces", "subspace_points", "subspace_mixtures"]
    for table, made in zip((SUBSPACES, SUBSPACE_POINTS, SUBSPACE_MIXTURES), tables.values(), strict=True):
        assert made.schema == table.arrow_schema()
        made.validate(full=True)
        for column in made.columns:
            flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
            if pa.types.is_floating(flat.type):
                assert not pc.any(pc.is_nan(flat)).as_py()
        rows.append(made.to_pylist())
        key = [tuple(row[name] for name in table.key) for row in rows[-1]]
        assert key == sorted(set(key))
    return rows


@pytest.mark.parametrize("seed", TEST_SEEDS)
@pytest.mark.parametrize("d", [2, 5, 40])
def test_components_are_those_of_the_dense_contribution(tmp_path, seed, d):
    random = np.random.default_rng(seed)
    arrays = random_arrays(seed, tokens=300)
    directions = random.standard_normal((12, d)) * random.uniform(0.2, 3, (12, 1))
    group = [1, 2, 4, 5, 7]
    mu = random.uniform(1, 4, 12)
    (row,), points, mixtures = check(
        cluster_subspaces(capture_of(tmp_path, arrays, directions), *tables_of([group], mu))
    )

    activations = dense(arrays)[:, group].astype(np.float64)
    fitted = (activations > 0).sum(axis=1) >= 2
    contribution = activations @ directions[group].astype(np.float32).astype(np.float64)
    centre = contribution[fitted].mean(axis=0)
    _, sizes, right = np.linalg.svd(contribution[fitted] - centre, full_matrices=False)
    share = sizes**2 / (sizes**2).sum()
    kept = min(3, d)
    np.testing.assert_allclose(row["explained"], share[:kept], atol=1e-9)
    assert row["space"] == "decoder"
    assert row["tokens"] == row["co_firing"] == fitted.sum()
    assert row["alone"] == ((activations > 0).sum(axis=1) == 1).sum()

    # Coordinates agree up to the sign of each component.
    at = np.array([point["components"] for point in points])
    places = {(point["document"], point["position"]): k for k, point in enumerate(points)}
    starts = np.concatenate([[0], np.cumsum(np.bincount(arrays["doc"]))])
    shown = np.array([int(starts[document]) + position for document, position in places])
    assert sorted(shown) == sorted(np.flatnonzero((activations > 0).any(axis=1)))
    expected = (contribution[shown] - centre) @ right[:kept].T
    sign = np.sign((expected * at).sum(axis=0))
    np.testing.assert_allclose(at, expected * sign, atol=1e-4)
    corners = np.array(row["corners"]).reshape(len(group), kept)
    planted = mu[group, None] * directions[group].astype(np.float32)
    np.testing.assert_allclose(corners, (planted - centre) @ right[:kept].T * sign, atol=1e-6)
    np.testing.assert_allclose(row["origin"], -centre @ right[:kept].T * sign, atol=1e-6)

    assert sum(mixture["tokens"] for mixture in mixtures) == row["tokens"]
    for mixture in mixtures:
        names = [int(k) for k in mixture["mixture"].split("+")]
        assert mixture["mixtures"] == 1
        chosen = fitted & ((activations > 0) == np.isin(group, names)).all(axis=1)
        assert mixture["tokens"] == chosen.sum() > 0
        centroid = (contribution[chosen].mean(axis=0) - centre) @ right[:kept].T * sign
        np.testing.assert_allclose(mixture["components"], centroid, atol=1e-6)
    for k, point in zip(shown, points, strict=True):
        assert point["latents"] == [latent for latent, a in zip(group, activations[k], strict=True) if a > 0]
        np.testing.assert_array_equal(point["activations"], activations[k][activations[k] > 0])
        assert point["strongest"] == group[int((activations[k] / mu[group]).argmax())]


def planted(random, kind, tokens=600):
    """Five latents as a mixture, as a composition at full strength, or of any strength; then as many on their own."""
    rows = []
    for _ in range(tokens):
        on = random.choice(5, random.integers(2, 4), replace=False)
        share = random.gamma(1.0, size=len(on))
        value = {
            "mixture": share / share.sum(),
            "composition": np.ones(len(on)),
            "variable": random.uniform(0.2, 1.5, len(on)),
        }[kind]
        value = np.maximum(value * (1 + 0.05 * random.standard_normal(len(on))), 1e-3)
        rows.append(dict(zip(on.tolist(), (value * 8).tolist(), strict=True)))
    rows += [{int(random.integers(5)): 8.0} for _ in range(tokens)]
    return arrays_of(rows, 5)


@pytest.mark.parametrize("seed", TEST_SEEDS)
@pytest.mark.parametrize("kind", ["mixture", "composition", "variable"])
def test_a_simplex_is_told_from_compositions(tmp_path, seed, kind):
    """Most tokens have a single member at its corner; they must not make a simplex of a composition."""
    random = np.random.default_rng(seed)
    capture = capture_of(tmp_path, planted(random, kind), random.standard_normal((5, 30)))
    (row,), _, _ = check(cluster_subspaces(capture, *tables_of([range(5)], np.full(5, 8.0))))
    if kind == "mixture":
        assert row["simplex_r2"] > 0.95
        assert row["simplex_null"] < row["simplex_r2"] - 0.1
        assert row["simplex_p"] == pytest.approx(0.01)
    else:
        assert row["simplex_r2"] < 0.5
        assert abs(row["simplex_r2"] - row["simplex_null"]) < 0.05


def test_a_mixture_of_three_lies_in_the_triangle_of_its_corners(tmp_path):
    random = np.random.default_rng(TEST_SEEDS[0])
    share = random.dirichlet(np.ones(3), 400)
    arrays = arrays_of([dict(enumerate(row)) for row in (8 * share).tolist()], 3)
    capture = capture_of(tmp_path, arrays, random.standard_normal((3, 20)))
    (row,), points, _ = check(cluster_subspaces(capture, *tables_of([range(3)], np.full(3, 8.0))))
    # Weights that sum to 1 span a plane: the third component is rounding and is left out.
    assert len(row["explained"]) == 2
    assert sum(row["explained"]) == pytest.approx(1)
    corners = np.array(row["corners"]).reshape(3, 2)
    at = np.array([point["components"] for point in points])
    order = np.argsort([(point["document"], point["position"]) for point in points], axis=0)[:, 1]
    np.testing.assert_allclose(at[order], share @ corners, atol=1e-4)


def test_without_weights_each_member_is_an_axis(tmp_path):
    arrays = random_arrays(5)
    mu = np.random.default_rng(5).uniform(1, 4, 12)
    known, _, _ = check(
        cluster_subspaces(capture_of(tmp_path / "a", arrays, np.diag(1 / mu)), *tables_of([[0, 1, 4]], mu))
    )
    bare, _, _ = check(cluster_subspaces(capture_of(tmp_path / "b", arrays), *tables_of([[0, 1, 4]], mu)))
    assert (known[0]["space"], bare[0]["space"]) == ("decoder", "activation")
    np.testing.assert_allclose(bare[0]["explained"], known[0]["explained"], atol=1e-6)
    assert bare[0]["simplex_r2"] == known[0]["simplex_r2"]


def test_tokens_and_mixtures_are_cut_and_counted_in_full(tmp_path):
    random = np.random.default_rng(1)
    fires = random.random((4000, 9)) < 0.3
    values = random.uniform(1, 2, fires.shape)
    arrays = arrays_of(
        [{int(k): float(v[k]) for k in np.flatnonzero(f)} for f, v in zip(fires, values, strict=True)], 9
    )
    capture = capture_of(tmp_path, arrays)
    tables = tables_of([range(9)], np.full(9, 1.5))
    (row,), points, mixtures = check(cluster_subspaces(capture, *tables))
    several = fires.sum(axis=1) >= 2
    assert (row["co_firing"], row["alone"]) == (several.sum(), (fires.sum(axis=1) == 1).sum())
    assert row["tokens"] == FITTED
    assert len(points) == FITTED + min(ALONE, row["alone"])
    assert [point["point"] for point in points] == list(range(len(points)))
    assert len({(point["document"], point["position"]) for point in points}) == len(points)
    assert len(mixtures) == MIXTURES + 1
    (others,) = [mixture for mixture in mixtures if mixture["mixture"] == OTHERS]
    assert others["mixtures"] > 1
    kept = [mixture["tokens"] for mixture in mixtures if mixture is not others]
    assert sum(kept) + others["tokens"] == FITTED
    different = {tuple(point["latents"]) for point in points if len(point["latents"]) > 1}
    assert len(different) == MIXTURES + others["mixtures"]


def test_the_lone_tokens_shown_are_those_of_the_lowest_hash_in_the_cluster(tmp_path):
    assert ALONE <= MOST_ALONE
    random = np.random.default_rng(3)
    rows = [{0: 1.0, 1: 2.0}] * 5 + [{int(k): 1.5} for k in random.choice(3, 3000, p=[0.9, 0.09, 0.01])]
    capture = capture_of(tmp_path, arrays_of(rows, 3))
    (row,), points, _ = check(cluster_subspaces(capture, *tables_of([range(3)], np.full(3, 1.5))))
    lowest = cluster_tokens(capture, {"c": np.arange(3)}, least=1, greatest=1, most=ALONE)["c"]
    shown = [(one["document"], one["position"]) for one in points if len(one["latents"]) == 1]
    assert row["alone"] == 3000
    assert shown == list(zip(lowest.document.tolist(), lowest.position.tolist(), strict=True))


def test_a_threshold_below_0_lets_no_negative_activation_fire(tmp_path, monkeypatch):
    """With known interference taken off, activations fall below 0; the simplex is told of ratios above it only."""
    capture = capture_of(tmp_path, random_arrays(4), np.eye(12))
    floor = np.full(12, -1.0)
    clear = ClearValues(floor, lambda shard: shard.values - np.float32(2))
    monkeypatch.setattr("cofire.analysis.subspaces.subspaces.clear_values", lambda *_: clear)
    (row,), points, _ = check(cluster_subspaces(capture, *tables_of([[0, 1, 4]], np.full(12, 2.0), floor)))
    assert row["simplex_r2"] is not None
    assert all(a > 0 for point in points for a in point["activations"])


def test_equal_captures_give_equal_tables_however_they_are_cut(tmp_path, monkeypatch):
    arrays = random_arrays(9, tokens=3000)
    tables = tables_of([[0, 1, 4], [5, 6], [2, 7, 8, 9]], np.full(12, 2.0))
    whole = capture_of(tmp_path / "whole", arrays, np.eye(12))
    first = cluster_subspaces(whole, *tables)
    assert first == cluster_subspaces(whole, *tables)
    monkeypatch.setattr("cofire.ingest.import_activations.ROWS_PER_SHARD", 700)
    cut = capture_of(tmp_path / "cut", arrays, np.eye(12))
    assert len(cut.manifest.shards) > len(whole.manifest.shards)
    assert first == cluster_subspaces(cut, *tables)


def test_a_cluster_alone_is_as_among_others(tmp_path):
    capture = capture_of(tmp_path, random_arrays(2), np.eye(12))
    mu = np.full(12, 2.0)
    among, _, _ = check(cluster_subspaces(capture, *tables_of([[0, 1, 4], [5, 6]], mu)))
    alone, _, _ = check(cluster_subspaces(capture, *tables_of([[0, 1, 4]], mu)))
    assert among[0] == alone[0]


DEGENERATE = {
    "never together": ([{0: 1.0}, {1: 2.0}], [2.0, 2.0], np.eye(2)),
    "never": ([{2: 1.0}], [np.nan, np.nan, 2.0], np.eye(3)),
    "one token": ([{0: 1.0, 1: 2.0}, {0: 1.0}], [2.0, 2.0], np.eye(2)),
    "equal tokens": ([{0: 1.1, 1: 2.3}] * 7, [2.0, 2.0], np.eye(2)),
    "no direction": ([{0: 1.0, 1: 2.0}, {0: 2.0, 1: 1.0}], [2.0, 2.0], np.zeros((2, 4))),
    "directions that cancel": ([{0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0}], [2.0, 2.0], np.array([[1.0], [-1.0]])),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_what_is_undefined_is_null(tmp_path, case):
    rows, mu, directions = DEGENERATE[case]
    capture = capture_of(tmp_path, arrays_of(rows, len(mu)), directions)
    (row,), points, mixtures = check(cluster_subspaces(capture, *tables_of([[0, 1]], np.array(mu))))
    assert [row[name] for name in ("explained", "corners", "origin")] == [None] * 3
    assert all(part["components"] is None for part in [*points, *mixtures])
    shares = case in ("no direction", "directions that cancel")
    assert (row["simplex_r2"] is not None) == shares


def test_an_unknown_strength_leaves_what_does_not_need_it(tmp_path):
    arrays = random_arrays(4)
    mu = np.full(12, 2.0)
    mu[1] = np.nan
    tables = tables_of([[0, 1, 4], [5, 6]], mu)
    (one, other), points, _ = check(cluster_subspaces(capture_of(tmp_path / "a", arrays, np.eye(12)), *tables))
    assert len(one["explained"]) == 3
    assert [one[name] for name in ("strengths", "corners", "simplex_r2", "simplex_p")] == [None] * 4
    assert other["simplex_r2"] is not None
    for point in points:
        assert (point["strongest"] is None) == (point["latents"] == [1])
    (bare, _), _, _ = check(cluster_subspaces(capture_of(tmp_path / "b", arrays), *tables))
    assert bare["explained"] is None


def test_only_clear_firings_count_where_a_floor_is_known(tmp_path):
    arrays = random_arrays(4)
    activations = dense(arrays)[:, [0, 1, 4]]
    capture = capture_of(tmp_path, arrays, np.eye(12))
    floor = np.full(12, 3.0)
    (row,), points, _ = check(cluster_subspaces(capture, *tables_of([[0, 1, 4]], np.full(12, 2.0), floor)))
    clear = (activations > 3).sum(axis=1)
    assert (row["co_firing"], row["alone"]) == ((clear >= 2).sum(), (clear == 1).sum())
    assert row["co_firing"] < ((activations > 0).sum(axis=1) >= 2).sum()
    assert min(min(point["activations"]) for point in points) > 3


def test_the_same_firings_are_clear_as_in_the_count(tmp_path):
    """Overlapping latents read by a tied encoder: a pair's tokens are as many as its edge's clear_count."""
    random = np.random.default_rng(2)
    n, d, tokens = 40, 48, 2000
    directions = random.standard_normal((n, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    amount = np.where(random.random((tokens, n)) < 0.1, 5.0, 0.0)
    x = amount @ directions + 0.05 * random.standard_normal((tokens, d))
    seen = x @ directions.T
    rows = [{int(k): float(row[k]) for k in np.flatnonzero(row > 0.5)} for row in seen]
    np.savez(tmp_path / "acts.npz", **arrays_of(rows, n, x=x.astype(np.float16)))
    tensors = {"W_dec": directions, "W_enc": directions.T, "threshold": np.full(n, 0.5)}
    tensors = {name: np.ascontiguousarray(one, np.float32) for name, one in tensors.items()}
    weights = tmp_path / "weights.safetensors"
    save_file(tensors, weights)
    capture = import_activations(
        tmp_path / "acts.npz", tmp_path / "capture", release="test", sae_id="a", weights=weights
    )
    count(capture, CountSettings(edges="all"))
    pairs = [[0, 1], [2, 3], [4, 30], [17, 39]]
    clusters, members, _ = tables_of(pairs, np.full(n, 5.0))
    found, points, _ = check(cluster_subspaces(capture, clusters, members, read_table(capture, LATENTS)))
    edges = {(row["a"], row["b"]): row for row in read_table(capture, EDGES).to_pylist()}
    for pair, row in zip(pairs, found, strict=True):
        edge = edges[tuple(pair)]
        assert row["co_firing"] == edge["clear_count"] < edge["count"] / 2
    assert all(a > 0 for point in points for a in point["activations"])


def test_a_mean_gives_way_to_what_a_member_does_alone(tmp_path):
    """Where no mode is known, a member that shares its weight on most tokens has a mean of about one half."""
    random = np.random.default_rng(TEST_SEEDS[0])
    capture = capture_of(tmp_path, planted(random, "mixture"), np.eye(5))
    tables = tables_of([range(5)], np.full(5, 4.0), rule="mean")
    (row,), points, _ = check(cluster_subspaces(capture, *tables))
    np.testing.assert_allclose(row["strengths"], 8)
    assert row["simplex_r2"] > 0.95
    assert sum(len(point["latents"]) == 1 for point in points) == ALONE
    (known,), _, _ = check(cluster_subspaces(capture, *tables_of([range(5)], np.full(5, 8.0))))
    assert known == row


def test_coarser_clusters_are_left_out_and_none_gives_empty_tables(tmp_path):
    capture = capture_of(tmp_path, random_arrays(4))
    clusters, members, latents = tables_of([[0, 1], [5, 6], [0, 1, 5, 6]], np.full(12, 2.0))
    names = clusters.column("cluster").to_pylist()
    rows = clusters.to_pylist()
    for row in rows[:2]:
        row["parent"] = names[2]
    rows[2]["level"] = 1
    clusters = pa.Table.from_pylist(rows, schema=clusters.schema)
    members = members.filter(pc.not_equal(members.column("cluster"), names[2]))
    found, _, _ = check(cluster_subspaces(capture, clusters, members, latents))
    assert [row["cluster"] for row in found] == names[:2]
    check(cluster_subspaces(capture, clusters.slice(0, 0), members.slice(0, 0), latents))


def test_progress_goes_up_to_the_end(tmp_path):
    told = []
    capture = capture_of(tmp_path, random_arrays(4))
    cluster_subspaces(
        capture, *tables_of([[0, 1], [5, 6]], np.full(12, 2.0)), progress=lambda done, total: told.append((done, total))
    )
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}


def test_tables_of_another_sae_are_refused(tmp_path):
    capture = capture_of(tmp_path, random_arrays(4))
    with pytest.raises(InputError, match="latents table: not that of"):
        cluster_subspaces(capture, *tables_of([[0, 1]], np.full(11, 2.0)))
