"""Exclusive stars on arrays: chosen as defined, found where planted and not elsewhere, p uniform under the null."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from cofire.analysis.stars.hubs import LEAST_FIRINGS, LEAST_JOINT, MOST_SHARE, blocks, gathered
from cofire.analysis.stars.kernels import (
    COVERED,
    EXPECTED,
    GIVEN_DOCUMENTS,
    NO_STAR,
    ON_ONE,
    SPOKES,
    STATISTIC,
    TOGETHER,
    VARIANCE,
    shuffled,
)
from cofire.analysis.stars.pooled import pooled_p
from cofire.analysis.stars.search import search_stars
from cofire.errors import CaptureError
from cofire.worlds import DEV_SEEDS
from star_cases import Cases, scattered


def found_in(cases, shuffles=0, seed=0, **how):
    able = cases.candidates()
    return able, search_stars(cases.gathered(able), able, shuffles=shuffles, seed=seed, **how)


def spokes_of(able, found, hub):
    h = int(np.searchsorted(able.hub, hub))
    assert able.hub[h] == hub
    at = np.arange(able.first[h], able.first[h + 1])
    return able.spoke[at[found.is_spoke[at]]].tolist(), found.facts[h]


def test_a_star_worked_by_hand():
    cases = Cases(np.random.default_rng(0), 2000)
    hub = cases.add(np.arange(0, 800, 10))  # 80 tokens, 20 in each of the documents 0 to 3
    spokes = [cases.add(np.arange(start, 800, 40)) for start in (0, 10, 20)]
    spokes.append(cases.add([30, 70, 110, 150, 230, 310, 390, 470, 0]))
    other = cases.add(np.arange(0, 800, 20))
    for weight, spoke in zip((5, 4, 3, 2, 1), [*spokes, other], strict=True):
        cases.edge(hub, spoke, float(weight))
    able, found = found_in(cases)
    assert able.hub.tolist() == [hub]
    # `other` fires with the first on 20 tokens, where 20 x 40 / 80 + 1 = 11 are allowed.
    chosen, facts = spokes_of(able, found, hub)
    assert chosen == spokes
    assert found.joint.tolist() == [20, 20, 20, 9, 40]
    assert facts[SPOKES] == 4
    assert facts[TOGETHER] == 1
    assert facts[EXPECTED] == pytest.approx((3 * 20 * 20 + 3 * 20 * 9) / 80)
    # Five a document of each of three, and 5, 3, 1, 0 of the last.
    assert facts[GIVEN_DOCUMENTS] == pytest.approx((4 * 3 * 25 + 3 * 5 * 9) / 20)
    pair = 5 * 15 * 5 * 15 / (20**2 * 19)
    last = [5 * 15 * s * (20 - s) / (20**2 * 19) for s in (5, 3, 1, 0)]
    assert facts[VARIANCE] == pytest.approx(4 * 3 * pair + 3 * sum(last))
    assert facts[STATISTIC] == pytest.approx((facts[GIVEN_DOCUMENTS] - 1) / np.sqrt(facts[VARIANCE]))
    assert (facts[COVERED], facts[ON_ONE]) == (68, 67)


def reference(fires, document, able, h):
    """The definition, plainly: fires bool [T, N]; returns spokes and facts."""
    at = fires[:, able.hub[h]]
    n = at.sum()
    of = np.repeat(np.arange(fires.shape[1]), np.diff(able.near_first))
    near = set(zip(of.tolist(), able.near.tolist(), strict=True))
    chosen = []
    for spoke in able.spoke[able.first[h] : able.first[h + 1]].tolist():
        size = (fires[:, spoke] & at).sum()
        if size >= LEAST_JOINT and all(
            (spoke, s) not in near
            and (fires[:, s] & fires[:, spoke] & at).sum() <= size * (fires[:, s] & at).sum() / n + 1
            for s in chosen
        ):
            chosen.append(spoke)
    together = expected = given = variance = 0.0
    for s, t in combinations(chosen, 2):
        together += (fires[:, s] & fires[:, t] & at).sum()
        expected += (fires[:, s] & at).sum() * (fires[:, t] & at).sum() / n
        for d in np.unique(document[at]):
            here = at & (document == d)
            x, y, length = (fires[:, s] & here).sum(), (fires[:, t] & here).sum(), here.sum()
            given += x * y / length
            if length > 1:
                variance += x * (length - x) * y * (length - y) / (length**2 * (length - 1))
    star = len(chosen) >= 4 and together <= expected / 2 and variance > 0
    some = fires[:, chosen][at].sum(axis=1)
    return (
        chosen,
        star,
        {
            SPOKES: len(chosen),
            TOGETHER: together,
            EXPECTED: expected,
            **(
                {GIVEN_DOCUMENTS: given, VARIANCE: variance, COVERED: (some > 0).sum(), ON_ONE: (some == 1).sum()}
                if star
                else {}
            ),
        },
    )


@pytest.mark.parametrize("seed", DEV_SEEDS)
def test_it_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    cases = Cases(rng, 3000)
    cases.document = np.sort(rng.integers(0, 60, 3000)).astype(np.int32)
    for _ in range(12):
        at = cases.context(int(rng.integers(70, 250)))
        parts = rng.integers(0, 6, len(at))
        cases.add(at)
        for s in range(6):
            cases.add(at[(parts == s) | (rng.random(len(at)) < 0.03)])
    n = len(cases.fires)
    for a, b in combinations(range(n), 2):
        if rng.random() < (0.8 if a // 7 == b // 7 and a % 7 == 0 else 0.1):
            cases.edge(a, b, float(rng.normal()))
    cases.twins = [(a, b) for a, b in combinations(range(n), 2) if rng.random() < 0.01]
    able, found = found_in(cases)
    fires = np.zeros((3000, n), bool)
    for latent, at in enumerate(cases.fires):
        fires[at, latent] = True
    stars = 0
    for h, hub in enumerate(able.hub):
        chosen, star, facts = reference(fires, cases.document, able, h)
        assert (found.facts[h, STATISTIC] > NO_STAR) == star
        spokes, told = spokes_of(able, found, hub)
        assert spokes == (chosen if star else [])
        for place, value in facts.items():
            assert told[place] == pytest.approx(value, abs=1e-9)
        stars += star
    assert stars >= 5


def test_who_may_be_a_hub_and_who_a_spoke():
    cases = Cases(np.random.default_rng(1), 2000)
    good, spokes = cases.star(150, 6, 0.9)
    cases.star(LEAST_FIRINGS - 1, 4, 0.9)
    cases.star(int(MOST_SHARE * 2000) + 1, 6, 0.9)
    cases.star(150, 3, 0.9)
    twin = cases.add(cases.fires[good][:-1])
    cases.edge(good, twin, 9.0)
    cases.twins.append((good, twin))
    busier = cases.add(np.concatenate([cases.fires[good], np.setdiff1d(np.arange(200), cases.fires[good])]))
    cases.edge(good, busier, 9.0)
    rare = cases.add(cases.fires[good][: LEAST_JOINT - 1])
    cases.edge(good, rare, 9.0)
    able, found = found_in(cases)
    assert able.hub.tolist() == [good]
    assert sorted(able.spoke.tolist()) == spokes
    assert spokes_of(able, found, good)[0] == spokes


def test_the_cut_of_the_text_the_memory_and_the_threads_change_nothing():
    cases = Cases(np.random.default_rng(2), 6000)
    for size in (80, 200, 120, 300, 90):
        cases.star(size, 5, 0.8, loose=0.1)
        cases.independent(size, 5, 0.2)
    able = cases.candidates()
    whole = search_stars(cases.gathered(able), able, shuffles=20, seed=3)
    again = search_stars(cases.gathered(able, cuts=7), able, shuffles=20, seed=3, processes=3)
    parts = [
        search_stars(gathered(able, *block, cases.shards(), len(cases.fires)), able, shuffles=20, seed=3)
        for block in blocks(able, 1500)
    ]
    assert len(parts) > 4
    for name, array in vars(whole).items():
        assert array.tobytes() == getattr(again, name).tobytes()
        assert array.tobytes() == np.concatenate([getattr(part, name) for part in parts]).tobytes()
    other = search_stars(cases.gathered(able), able, shuffles=20, seed=4)
    assert other.facts.tobytes() == whole.facts.tobytes()
    assert other.null.tobytes() != whole.null.tobytes()


def test_counts_that_are_not_those_of_the_tables_are_refused():
    cases = Cases(np.random.default_rng(3), 2000)
    hub, spokes = cases.star(150, 5, 0.9)
    able = cases.candidates()
    whole, spoke = cases.fires[hub], cases.fires[spokes[0]]
    cases.fires[hub] = whole[:-1]
    with pytest.raises(CaptureError, match=f"latent {hub}: fewer firings"):
        cases.gathered(able)
    cases.fires[hub] = np.append(whole, np.setdiff1d(np.arange(2000), whole)[:1])
    with pytest.raises(CaptureError, match=f"latent {hub}: more firings"):
        cases.gathered(able)
    cases.fires[hub], cases.fires[spokes[0]] = whole, whole[: len(spoke) + 5]
    with pytest.raises(CaptureError, match=f"latent {hub}: more firings"):
        cases.gathered(able)


def test_a_shuffle_keeps_the_number_in_each_document_and_draws_evenly():
    lengths = np.array([1, 7, 64, 3, 130])
    run_first = np.concatenate([[0], np.cumsum(lengths)])
    run = np.repeat(np.arange(5), lengths).astype(np.int32)
    joint = np.array([0, 2, 4, 10, 11, 12, 70, 75, 76, 77, 100], np.int32)
    times = np.zeros(run_first[-1])
    draws = 6000
    for seed in range(draws):
        bits = np.zeros(len(times) // 64 + 1, np.uint64)
        shuffled(joint, run, run_first, np.uint64(seed * 2**40), bits)
        drawn = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
        assert np.bincount(run[drawn], minlength=5).tolist() == np.bincount(run[joint], minlength=5).tolist()
        times[drawn] += 1
    share = (np.bincount(run[joint], minlength=5) / lengths)[run]
    spread = np.sqrt(draws * share * (1 - share))
    free = spread > 0
    assert (times[~free] == draws * share[~free]).all()
    z = (times - draws * share)[free] / spread[free]
    assert abs(z).max() < 4.5
    assert 0.8 < np.mean(z**2) < 1.2


def test_p_is_the_pooled_share_and_q_counts_every_hub():
    null = np.full((4, 25), NO_STAR)
    null[0, :3] = [1.0, 2.0, 3.0]
    null[2, 5] = 2.0
    p, q = pooled_p(np.array([2.0, 2.5, NO_STAR, 9.0]), null)
    np.testing.assert_allclose(p, [4 / 101, 2 / 101, 1, 1 / 101])
    np.testing.assert_allclose(q, [4 * 4 / 101 / 3, 4 / 101, 1, 4 / 101])


@pytest.fixture(scope="module")
def many():
    """Hubs of all sizes, with candidates that know nothing of each other."""
    cases = Cases(np.random.default_rng(DEV_SEEDS[0]), 60_000)
    for _ in range(500):
        size = int(np.exp(cases.rng.uniform(np.log(70), np.log(3000))))
        cases.independent(size, int(cases.rng.integers(5, 25)), cases.rng.uniform(max(12 / size, 0.02), 0.25))
    able = cases.candidates()
    return able, cases.gathered(able)


def test_p_is_uniform_and_q_nominal_where_nobody_avoids_anybody(many):
    able, tokens = many
    below, found, hubs = np.zeros(3), 0, 0
    levels = np.array([0.001, 0.003, 0.01])
    for seed in range(8):
        seen = search_stars(scattered(tokens, seed), able, shuffles=20, seed=seed)
        p, q = pooled_p(seen.facts[:, STATISTIC], seen.null)
        below += (p[:, None] <= levels).sum(axis=0)
        found += (q <= 0.05).sum()
        hubs += len(p)
    assert below.sum() > 20
    assert (below <= hubs * levels + 3 * np.sqrt(hubs * levels)).all()
    assert (below[1:] >= hubs * levels[1:] / 3).all()
    # No star is true here: a false one in a twentieth of the runs is nominal.
    assert found <= 3


def test_independent_spokes_are_no_exclusive_stars(many):
    able, tokens = many
    seen = search_stars(tokens, able, shuffles=20, seed=0)
    _, q = pooled_p(seen.facts[:, STATISTIC], seen.null)
    assert (q <= 0.05).sum() <= 1


def planted(seed):
    """Sixty stars of 4 to 8 spokes, and as many of each sort that is none; the hubs of the stars, and all others."""
    cases = Cases(np.random.default_rng(seed), 100_000)
    rng = cases.rng
    stars, none = [], []

    def size():
        return int(np.exp(rng.uniform(np.log(170), np.log(2000))))

    for number in range(60):
        # Not quite clean: a tenth of a spoke's firings fall where they will.
        hub, spokes = cases.star(size(), int(rng.integers(4, 9)), rng.uniform(0.5, 0.95), loose=0.1)
        stars.append(hub)
        if number < 10:  # a spoke's twin, and one of the hub
            copy = cases.add(cases.fires[spokes[0]][1:])
            cases.edge(hub, copy, 4.0)
            cases.edge(spokes[0], copy, 9.0)
            cases.twins.append((spokes[0], copy))
        elif number < 20:
            copy = cases.add(cases.fires[hub][1:])
            cases.edge(hub, copy, 9.0)
            cases.twins.append((hub, copy))
    for _ in range(60):
        none.append(cases.independent(size(), int(rng.integers(4, 9)), rng.uniform(0.12, 0.4))[0])
        at = cases.context(size())
        clique = [cases.add(at[rng.random(len(at)) < rng.choice([0.3, 0.5, 0.7])]) for _ in range(7)]
        for a, b in combinations(clique, 2):
            cases.edge(a, b, 3.0)
        none += clique
        nested = [cases.add(at)]
        for share in (0.7, 0.5, 0.35, 0.25, 0.18, 0.12):
            nested.append(cases.add(rng.permutation(cases.fires[nested[-1]])[: int(share * len(at))]))
        # A chain: the hub is the direct neighbour of the first alone, but say it were of all.
        for a, b in [*pairwise(nested), *((nested[0], inner) for inner in nested[2:])]:
            cases.edge(a, b, 3.0)
        none += nested
    return cases, stars, none


@pytest.mark.parametrize("seed", DEV_SEEDS[:2])
def test_planted_stars_are_found_and_nothing_else(seed):
    cases, stars, none = planted(seed)
    able, seen = found_in(cases, shuffles=20, seed=seed)
    _, q = pooled_p(seen.facts[:, STATISTIC], seen.null)
    kept = set(able.hub[q <= 0.05].tolist())
    assert len(kept & set(stars)) >= 58
    assert len(kept & set(none)) <= 1
