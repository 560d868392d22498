"""Structure against function on tables whose answer is known: none, partial, full, confounded; and on nulls."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from builders import make_capture, random_arrays
from cofire.analysis.report.charts import png, style
from cofire.analysis.structure_function.figure import structure_function_figure
from cofire.analysis.structure_function.rows import structure_function_rows
from cofire.analysis.structure_function.structure_function import (
    MIN_EACH,
    SCORES,
    WITH,
    WITHOUT,
    auroc,
    structure_function,
    uncertainty,
)
from cofire.common.files import exclusive
from cofire.errors import InputError
from cofire.ingest.capture_dir.table_files import read_table, save_tables
from cofire.ingest.count import count
from cofire.schema.tables import CLUSTER_FUNCTIONS, CLUSTERS, LATENTS, MEMBERS
from cofire.worlds import TEST_SEEDS, cluster_world
from repository import ROOT

CONFOUNDS = "size, frequency, density"


def clusters(seed, n, link, *, confounded=False, saes=1):
    """A table of clusters. `link`: share of compositions that are stars, and of ambiguities that are cliques: .5 is
    nothing, 1 is all. Confounded: function and shape both go with frequency (or with density) and with nothing else."""
    rng = np.random.default_rng(seed)
    frequency = np.exp(rng.normal(-5, 1, n))
    even = rng.random(n) if confounded == "density" else None
    if confounded:
        z = np.log(frequency) + 5 if even is None else (even - 0.5) * np.sqrt(12)
        often = 1 / (1 + np.exp(-1.5 * z))
        composition, star = rng.random((2, n)) < often
    else:
        composition = rng.random(n) < 0.5
        star = np.where(rng.random(n) < link, composition, ~composition)
    centralization = np.clip(np.where(star, 0.8, 0.2) + 0.1 * rng.standard_normal(n), 0, 1)
    sure = rng.uniform(0.75, 1, n)
    p = np.where(composition, sure, 1 - sure)
    return pd.DataFrame(
        {
            "sae": rng.integers(saes, size=n).astype(str),
            "size": rng.integers(4, 20, n),
            "frequency": frequency,
            "structure": np.where(star, "hub_and_spoke", np.where(rng.random(n) < 0.3, "mixed", "clique")),
            "centralization": centralization,
            "strength_centralization": np.clip(centralization + 0.1 * rng.standard_normal(n), 0, 1),
            "core_periphery": np.clip(centralization + 0.1 * rng.standard_normal(n), 0, 1),
            "density": np.clip(np.where(star, 0.4, 0.9) + 0.1 * rng.standard_normal(n), 0, 1) if even is None else even,
            "function": np.where(composition, "composition", "ambiguity"),
            "p_composition": p,
            "p_ambiguity": 1 - p,
            "p_composition_alone": p * 0.6,
            "p_ambiguity_alone": 1 - p,
        }
    )


def found(result, measure, of, *, by=WITH, counted="told", strata=CONFOUNDS):
    table = result.table
    chosen = table[
        (table.by == by)
        & (table.counted == counted)
        & (table.measure == measure)
        & (table.of == of)
        & (table.strata == strata)
    ]
    assert len(chosen) == 1
    return chosen.iloc[0]


def by_pairs(score, positive, negative):
    above = np.sign(score[:, None] - score[None, :]) / 2 + 0.5
    weight = positive[:, None] * negative[None, :]
    return (above * weight).sum() / weight.sum()


def test_auroc_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 6, 40).astype(float)
    positive, negative = rng.random((3, 40)), rng.random((3, 40))
    many = auroc(score, positive, negative)
    assert many == pytest.approx([by_pairs(score, p, q) for p, q in zip(positive, negative, strict=True)])
    assert np.isnan(auroc(score, np.zeros(40), np.ones(40)))


def test_uncertainty_by_hand():
    label = np.array([0, 0, 1, 1])
    assert uncertainty(label, np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, 1])) == pytest.approx(1)
    assert uncertainty(label, np.array([1.0, 0, 1, 0]), np.array([0.0, 1, 0, 1])) == pytest.approx(0)
    # 3 of 4 right on each side: 1 - H(1/4) / ln 2.
    h = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)
    assert uncertainty(label, np.array([2.0, 1, 1, 0]), np.array([0.0, 1, 1, 2])) == pytest.approx(1 - h)
    assert np.isnan(uncertainty(label, np.ones(4), np.zeros(4)))


def test_full_relation():
    result = structure_function(clusters(1, 240, 1.0), permutations=99, bootstrap=200)
    for by in (WITH, WITHOUT):
        for name in ("centralization", "all scores"):
            row = found(result, "auroc", name, by=by, strata="size, frequency")
            assert row.value > 0.98
            assert row.low > 0.95
            assert row.p == pytest.approx(0.01)
            # A quarter of the functions stay where they are.
            assert row.expected == pytest.approx(0.5 + 0.5 / 4, abs=0.05)
        assert found(result, "auroc", "density", by=by, strata="size, frequency").value < 0.02
        assert found(result, "gain", "structure", by=by, strata="size, frequency").low > 0.3
        assert found(result, "uncertainty", "structure label", by=by).value > 0.9
    # Where density is a confound it takes nearly all of this away, for here it goes with the shape.
    assert found(result, "gain", "structure").value < 0.1
    # It is not tested against itself then.
    for name in ("density", "all scores"):
        assert found(result, "auroc", name).value == found(result, "auroc", name, strata="size, frequency").value
        assert found(result, "auroc", name)[["expected", "p"]].isna().all()
    assert np.isfinite(found(result, "auroc", "centralization").p)


def test_partial_relation():
    result = structure_function(clusters(2, 800, 0.75), permutations=99, bootstrap=200)
    row = found(result, "auroc", "centralization", strata="size, frequency")
    # Three in four: AUROC near .75, and U = 1 - H(1/4).
    assert 0.66 < row.low < row.value < row.high < 0.84
    assert row.p == pytest.approx(0.01)
    weighted = found(result, "auroc", "centralization", counted="weighted", strata="size, frequency")
    assert 0.5 < weighted.value < row.value
    assert 0.1 < found(result, "uncertainty", "structure label").value < 0.3


def test_no_relation():
    result = structure_function(clusters(3, 400, 0.5), permutations=99, bootstrap=200)
    for strata in ("size, frequency", CONFOUNDS):
        row = found(result, "auroc", "centralization", strata=strata)
        assert row.low < 0.5 < row.high
        assert row.p > 0.01
        gain = found(result, "gain", "structure", strata=strata)
        assert gain.low < 0.03


def test_what_the_confounds_give_is_not_the_shape():
    result = structure_function(clusters(4, 500, 0.5, confounded=True), permutations=99, bootstrap=200)
    row = found(result, "auroc", "centralization", strata="size, frequency")
    assert row.value > 0.57
    assert row.expected > 0.55
    assert row.p > 0.01
    assert found(result, "gain", "structure", strata="size, frequency").value < 0.05


def test_several_saes_small_clusters_and_repetition():
    rows = clusters(5, 300, 0.8, saes=3)
    rows.loc[:9, "size"] = 3
    rows.loc[10:14, "centralization"] = np.nan
    first = structure_function(rows, permutations=19, bootstrap=50, seed=4)
    again = structure_function(rows, permutations=19, bootstrap=50, seed=4)
    pd.testing.assert_frame_equal(first.table, again.table)
    assert len(first.rows) == 285
    assert set(first.table.of) >= {*SCORES, "all scores", "confounds", "confounds and structure", "structure"}


def test_perfect_cliques_stay():
    rows = clusters(8, 120, 0.9)
    rows.loc[:19, ["density", "core_periphery"]] = [1.0, np.nan]
    result = structure_function(rows, permutations=1, bootstrap=1)
    assert len(result.rows) == 120
    assert (result.rows.loc[:19, "core_periphery"] == 0).all()


def test_too_few_ambiguities_give_nothing():
    rows = clusters(6, 100, 0.9)
    rows["function"] = ["ambiguity"] * (MIN_EACH - 1) + ["composition"] * 40 + ["unclear"] * 51
    steps = []
    result = structure_function(rows, permutations=19, bootstrap=20, progress=lambda *at: steps.append(at))
    none = result.table[(result.table.by == WITH) & (result.table.counted == "told")]
    assert len(none)
    assert none.value.isna().all()
    assert set(none.compositions) == {40.0}
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_a_column_that_is_missing_is_named():
    with pytest.raises(InputError, match="no column p_ambiguity_alone"):
        structure_function(clusters(7, 50, 0.5).drop(columns="p_ambiguity_alone"))


def test_p_is_uniform_where_there_is_nothing():
    p = []
    for seed in range(30):
        rows = clusters(1000 + seed, 90, 0.5, confounded=seed % 2 == 1)
        result = structure_function(rows, permutations=19, bootstrap=1, seed=seed)
        table = result.table[(result.table.by == WITH) & (result.table.counted == "told")]
        p.append(table[table.of.isin(["centralization", "all scores", "structure label"])].p.dropna().to_numpy(float))
    p = np.array(p)
    assert p.shape == (30, 5)
    # 30 draws of each of 5 tests, at 20 values of p: at a true rate of .1, 9 and more have a chance of .2%.
    assert ((p <= 0.1).sum(axis=0) < 9).all()
    assert 0.4 < p.mean() < 0.62


def test_density_that_goes_with_both_is_no_finding_in_five_saes():
    """The function and the shape both go with density, and with nothing else: 470 clusters, as the five real SAEs have.

    Strata of equal parts of each confound halved the density, and a third of such tables had p <= .05.
    """
    p = []
    for seed in range(40):
        rows = clusters(2000 + seed, 470, 0.5, confounded="density", saes=5)
        # Nothing but the told function with containment, which is a quarter of the work.
        rows[[name for name in rows if name.startswith("p_")]] = 0.0
        row = found(structure_function(rows, permutations=19, bootstrap=1, seed=seed), "auroc", "centralization")
        assert row.value > 0.55
        p.append(row.p)
    # 7 of 40 and more have a chance of .3% at a true rate of .05.
    assert (np.array(p) <= 0.05).sum() <= 6


def test_the_figure_is_drawn_whatever_is_known(tmp_path):
    few = clusters(9, 60, 0.9)
    few["function"] = "unclear"
    for rows in (few, clusters(10, 60, 0.9)):
        result = structure_function(rows, permutations=5, bootstrap=20)
        for counted in ("told", "weighted"):
            with style():
                data = png(structure_function_figure(result, counted=counted))
            assert data.startswith(b"\x89PNG")


def test_the_bench_takes_clusters_of_two_levels(tmp_path, monkeypatch):
    path = ROOT / "bench" / "structure_function.py"
    spec = importlib.util.spec_from_file_location("bench_structure_function", path)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    sweep = bench.find_clusters

    def two_levels(*given):
        result = sweep(*given)
        rows = [{**row, "parent": "whole"} for row in result.clusters.to_pylist() if row["level"] == 0]
        rows.append({**rows[0], "cluster": "whole", "level": 1, "parent": None})
        return dataclasses.replace(result, clusters=pa.Table.from_pylist(rows, schema=result.clusters.schema))

    monkeypatch.setattr(bench, "find_clusters", two_levels)
    families = {"composition_star": 2, "ambiguity_clique": 2}
    world = cluster_world(TEST_SEEDS[0], tokens=100_000, families=families, background=60, bridges=0)
    plan, got = bench.rows_of(world, tmp_path, "w")
    assert len(plan) == 4 <= len(got)
    assert "whole" not in set(got["cluster"])
    assert {"size", "structure", "function", "p_composition_alone"} <= set(got)


def test_rows_come_from_the_tables(tmp_path):
    capture = make_capture(tmp_path, random_arrays(1))
    count(capture)
    uids = ["x", "y", "z"]
    table = pa.Table.from_pylist(
        [
            {
                "cluster": uid,
                "size": 2,
                "level": int(uid == "z"),
                "resolution": 1.0,
                "seed": 0,
                "structure": "too_small",
            }
            for uid in uids
        ],
        schema=CLUSTERS.arrow_schema(),
    )
    members = pa.Table.from_pylist(
        [
            {"cluster": uid, "latent": k, "role": "member", "strength": 1.0}
            for uid, k in zip("xxyy", range(4), strict=True)
        ],
        schema=MEMBERS.arrow_schema(),
    )
    functions = pa.Table.from_pylist(
        [{"cluster": uid, "tokens": 3, "twins": 0, "function": "unclear"} for uid in uids],
        schema=CLUSTER_FUNCTIONS.arrow_schema(),
    )
    with exclusive(capture.path):
        save_tables(capture, {"clusters": table, "members": members, "cluster_functions": functions}, "made", {}, {})
    rows = structure_function_rows([capture])
    assert rows["cluster"].tolist() == ["x", "y"]
    assert set(rows["sae"]) == {capture.uid}
    frequency = read_table(capture, LATENTS).column("frequency").to_numpy()
    assert rows["frequency"].tolist() == pytest.approx([frequency[:2].mean(), frequency[2:4].mean()])
    assert (structure_function(rows).table.value.isna()).all()
