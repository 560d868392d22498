"""Planted clusters are found at one resolution; the tables depend on the edges, the resolution and the seed alone.

Clusters of the sweep: test_sweep.py.
"""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cofire.analysis.clusters import clusters as module
from cofire.errors import InputError
from cofire.schema.tables import CLUSTERS, MEMBERS

UID = "release/blocks.12"


def find_clusters(uid, edges, *, resolution=0.7, **options):
    found = module.find_clusters(uid, edges, resolution=resolution, **options)
    assert (found.figures, found.sweep) == ({"levels": 1}, [])
    return found.clusters, found.members


def table(rows):
    a, b, log_odds = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "a": pa.array(a, pa.int32()),
            "b": pa.array(b, pa.int32()),
            "log_odds": pa.array(log_odds, pa.float64()),
        }
    )


def groups(members):
    frame = members.to_pandas()
    return sorted(sorted(part) for part in frame.groupby("cluster")["latent"].apply(list))


STAR = [(10, 3, 4.0), (10, 20, 4.0), (10, 30, 5.0)]
CLIQUE = [(x, y, 2.0) for x, y in itertools.combinations([1, 2, 4, 5, 6], 2)]
PAIR = [(40, 41, 1.0)]


def test_a_star_a_clique_and_a_pair_by_hand():
    clusters, members = find_clusters(UID, table([*STAR, *CLIQUE, *PAIR]), resolution=0.5, seed=3)
    assert groups(members) == [[1, 2, 4, 5, 6], [3, 10, 20, 30], [40, 41]]
    by_size = {row["size"]: row for row in clusters.to_pylist()}
    assert {size: row["structure"] for size, row in by_size.items()} == {
        4: "hub_and_spoke",
        5: "clique",
        2: "too_small",
    }
    assert {(row["resolution"], row["seed"], row["level"]) for row in by_size.values()} == {(0.5, 3, 0)}
    assert {(row["parent"], row["stability"]) for row in by_size.values()} == {(None, None)}
    assert (by_size[4]["strength_centralization"], by_size[4]["core_periphery"]) == (
        pytest.approx(0.8666667),
        pytest.approx(1),
    )
    assert 0.5 < by_size[5]["structure_p"] <= 1
    assert by_size[2]["structure_p"] is None
    assert (by_size[4]["density"], by_size[4]["centralization"]) == (0.5, 1.0)
    assert by_size[2]["density"] is None
    told = {row["latent"]: (row["role"], row["strength"]) for row in members.to_pylist()}
    assert told[10] == ("hub", 13.0)
    assert told[30] == ("spoke", 5.0)
    assert told[1] == ("member", 8.0)
    assert told[41] == ("member", 1.0)


def test_the_tables_have_the_declared_schemas_and_order():
    clusters, members = find_clusters(UID, table([*STAR, *CLIQUE, *PAIR]))
    assert clusters.schema == CLUSTERS.arrow_schema()
    assert members.schema == MEMBERS.arrow_schema()
    assert clusters["cluster"].to_pylist() == sorted(clusters["cluster"].to_pylist())
    keys = list(zip(members["cluster"].to_pylist(), members["latent"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def planted(seed):
    """Twelve blocks of 5 to 9 latents, most pairs joined at 2 to 4 nats, and weak edges between blocks."""
    rng = np.random.default_rng(seed)
    latents = rng.permutation(2000)
    blocks, start = [], 0
    for k in range(12):
        size = 5 + k % 5
        blocks.append(sorted(int(x) for x in latents[start : start + size]))
        start += size
    rows = {}
    for block in blocks:
        for pair in itertools.combinations(block, 2):
            if rng.random() < 0.85:
                rows[pair] = rng.uniform(2, 4)
    everyone = [x for block in blocks for x in block]
    for _ in range(150):
        x, y = sorted(int(v) for v in rng.choice(everyone, 2, replace=False))
        rows.setdefault((x, y), rng.uniform(0.7, 1.0))
    return blocks, [(a, b, w) for (a, b), w in rows.items()]


@pytest.mark.parametrize("seed", range(5))
def test_planted_blocks_are_recovered(seed):
    blocks, rows = planted(seed)
    _, members = find_clusters(UID, table(rows), resolution=0.5)
    assert groups(members) == sorted(blocks)


def as_bytes(tables):
    sinks = []
    for one in tables:
        sink = pa.BufferOutputStream()
        pq.write_table(one, sink)
        sinks.append(sink.getvalue().to_pybytes())
    return sinks


def test_equal_edges_give_equal_bytes_whatever_their_order():
    _, rows = planted(9)
    first = as_bytes(find_clusters(UID, table(rows), resolution=1.2, seed=5))
    rng = np.random.default_rng(0)
    for _ in range(3):
        turned = [
            (b, a, w) if rng.random() < 0.5 else (a, b, w) for a, b, w in (rows[k] for k in rng.permutation(len(rows)))
        ]
        assert as_bytes(find_clusters(UID, table(turned), resolution=1.2, seed=5)) == first
    frame = pd.DataFrame(rows, columns=["a", "b", "log_odds"])
    assert as_bytes(find_clusters(UID, frame, resolution=1.2, seed=5)) == first


def test_a_uid_is_made_of_the_sae_and_the_members_alone():
    digest = hashlib.sha256(b"3,10,20,30").hexdigest()[:12]
    for rows, resolution, seed in [(STAR, 0.5, 0), (STAR[::-1], 0.1, 7), ([*STAR, *CLIQUE], 0.5, 1)]:
        clusters, _ = find_clusters(UID, table(rows), resolution=resolution, seed=seed)
        assert f"{UID}/c-{digest}" in clusters["cluster"].to_pylist()


def test_the_resolution_is_the_log_odds_that_joins_two_latents():
    assert find_clusters(UID, table(PAIR), resolution=0.99)[0].num_rows == 1
    assert find_clusters(UID, table(PAIR), resolution=1.01)[0].num_rows == 0


def test_resolution_nought_gives_the_connected_components():
    chain = [(i, i + 1, 0.1) for i in range(6)]
    clusters, members = find_clusters(UID, table([*chain, (50, 51, 9.0)]), resolution=0)
    assert groups(members) == [list(range(7)), [50, 51]]
    assert {row["size"]: row["structure"] for row in clusters.to_pylist()} == {7: "path", 2: "too_small"}


def test_no_edges_give_empty_tables():
    for edges in (table([]), table([]).to_pandas(), table([(1, 2, -1.0), (2, 3, 0.0)])):
        clusters, members = find_clusters(UID, edges)
        assert (clusters.num_rows, members.num_rows) == (0, 0)
        assert clusters.schema == CLUSTERS.arrow_schema()
        assert members.schema == MEMBERS.arrow_schema()


def test_edges_without_positive_log_odds_count_for_nothing():
    spoke_to_spoke = [(3, 20, -0.5), (20, 30, 0.0)]
    with_them, without = (find_clusters(UID, table(rows)) for rows in ([*STAR, *spoke_to_spoke], STAR))
    assert as_bytes(with_them) == as_bytes(without)
    assert without[0]["structure"].to_pylist() == ["hub_and_spoke"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_log_odds_that_are_no_number_are_refused(value):
    with pytest.raises(InputError, match=r"log_odds is null or not finite in 1 rows, first for latents 7 and 8"):
        find_clusters(UID, table([(1, 2, 1.0), (7, 8, value)]))


@pytest.mark.parametrize("rows", [[(1, 2, 1.0), (2, 1, 2.0)], [(3, 3, 1.0)]])
def test_a_loop_or_a_pair_that_stands_twice_is_refused(rows):
    with pytest.raises(InputError, match="a loop or stands twice"):
        find_clusters(UID, table(rows))


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="no column log_odds"):
        find_clusters(UID, table(PAIR).drop_columns(["log_odds"]))


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": -1},
        {"resolution": math.nan},
        {"resolution": math.inf},
        {"seed": -1},
        {"seed": 2**31},
        {"runs": 1},
        {"objective": "surprise"},
    ],
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=r"^(resolution|seed|runs|objective) "):
        find_clusters(UID, table(PAIR), **options)


def test_modularity_at_one_resolution():
    blocks, rows = planted(3)
    _, members = find_clusters(UID, table(rows), resolution=1, objective="modularity")
    found = groups(members)
    # Unlike CPM it may join planted blocks (its resolution limit), but it splits none here.
    assert all(any(set(block) <= set(group) for group in found) for block in blocks)
