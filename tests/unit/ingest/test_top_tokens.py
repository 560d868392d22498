"""Which tokens name a latent: the most frequent, and those that tell it from the text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, power_divergence

from cofire.ingest.capture_dir.shard import Shard
from cofire.ingest.latents.top_tokens import TOP_TOKENS, TokenCounter, _most_evidence, evidence


def one(count: int, firings: int, of_token: int, tokens: int) -> float:
    return float(evidence(*(np.array([x], np.int64) for x in (count, firings, of_token)), tokens)[0])


@given(st.lists(st.integers(0, 500), min_size=4, max_size=4).filter(lambda x: x[0] + x[1] and x[0] + x[2]))
def test_the_evidence_is_the_likelihood_ratio_of_the_table(cells: list[int]) -> None:
    both, fires, token, _ = cells
    n, k, total = both + fires, both + token, sum(cells)
    expected = np.array([n * k, n * (total - k), (total - n) * k, (total - n) * (total - k)]) / total
    found = one(both, n, k, total)
    if (expected > 0).all():
        reference = power_divergence(cells, expected, lambda_="log-likelihood").statistic
        assert abs(found) == pytest.approx(reference, abs=1e-6)
    assert found == 0 or np.sign(found) == np.sign(both * total - n * k)


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=4).filter(lambda x: x[0] + x[1] and x[0] + x[2]))
def test_no_evidence_is_above_its_bound(cells: list[int]) -> None:
    both, fires, token, _ = cells
    table = (both, both + fires, both + token, sum(cells))
    # Where both are told to rounding alone, there is none.
    assert one(*table) <= _most_evidence(*table) * (1 + 1e-9) + 1e-6


def test_a_latent_that_fires_on_everything_has_no_distinctive_token() -> None:
    assert one(10, 1000, 10, 1000) == 0
    assert one(500, 1000, 500, 1000) == 0


def counted(tokens: np.ndarray, fires: np.ndarray) -> TokenCounter:
    """Count a text: which tokens, and which latents fire on each, bool [T, N]."""
    counter = TokenCounter()
    indptr = np.concatenate([[0], np.cumsum(fires.sum(1))]).astype(np.int64)
    indices = np.nonzero(fires)[1].astype(np.int32)
    half = len(tokens) // 2
    for start, stop in ((0, half), (half, len(tokens))):
        a, b = indptr[start], indptr[stop]
        counter.add(
            Shard(
                indptr=indptr[start : stop + 1] - a,
                indices=indices[a:b],
                values=np.ones(b - a, np.float32),
                document=np.zeros(stop - start, np.int32),
                position=np.arange(start, stop, dtype=np.int32),
                token=tokens[start:stop].astype(np.int32),
            )
        )
    return counter


def planted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A Zipf text; latent 0 fires on tokens 40 to 42 and anywhere at .1; latent 1 anywhere at .1: it has no token."""
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, 201)
    tokens = rng.choice(200, 20_000, p=weight / weight.sum())
    fires = rng.random((20_000, 2)) < 0.1
    fires[:, 0] |= np.isin(tokens, (40, 41, 42)) & (rng.random(20_000) < 0.8)
    return tokens, fires


@pytest.mark.parametrize("seed", range(5))
def test_planted_tokens_come_first_though_others_are_more_frequent(seed: int) -> None:
    tokens, fires = planted(seed)
    rows = counted(tokens, fires).table(fires.sum(0), None).to_pylist()
    first = sorted((r for r in rows if r["latent"] == 0), key=lambda r: -r["score"])
    assert {r["token"] for r in first[:3]} == {40, 41, 42}
    by_count = [r["token"] for r in rows if r["latent"] == 0][:3]
    assert set(by_count) == {0, 1, 2}
    # 200 tokens, none of them the latent's: the largest is what the largest of 200 draws of chi2(1) may be.
    assert max(r["score"] for r in rows if r["latent"] == 1) < chi2.isf(1e-4 / 200, 1)
    assert first[2]["score"] > 3 * chi2.isf(1e-4 / 200, 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_table_has_the_most_frequent_and_the_most_distinctive(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 60, 2000)
    fires = rng.random((2000, 7)) < rng.uniform(0.01, 0.9, 7)
    fires[:, 3] = True
    fires[:, 5] = False
    table = counted(tokens, fires).table(fires.sum(0), None)
    wanted = []
    for latent in range(7):
        ids, counts = np.unique(tokens[fires[:, latent]], return_counts=True)
        of_token = np.bincount(tokens, minlength=60)
        scores = {
            int(t): one(int(c), int(fires[:, latent].sum()), int(of_token[t]), 2000)
            for t, c in zip(ids, counts, strict=True)
        }
        often = sorted(ids.tolist(), key=lambda t: (-counts[ids == t][0], t))
        telling = sorted((t for t in scores if scores[t] > 0), key=lambda t: (-scores[t], t))
        kept = {*often[:TOP_TOKENS], *telling[:TOP_TOKENS]}
        wanted += [(latent, t, int(counts[ids == t][0]), scores[t]) for t in often if t in kept]
    found = [(r["latent"], r["token"], r["count"], r["score"]) for r in table.to_pylist()]
    assert [row[:3] for row in found] == [row[:3] for row in wanted]
    assert [row[3] for row in found] == pytest.approx([row[3] for row in wanted])
    assert {row[0] for row in found} == {0, 1, 2, 3, 4, 6}
