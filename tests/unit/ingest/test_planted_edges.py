"""The edge rule on planted worlds: topic bursts, planted pairs, and a crowd. Figures are printed (pytest -s)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from cofire.common.arrays import Array
from cofire.ingest.edges.expected import ONE, expected_joint
from cofire.ingest.edges.significance import benjamini_hochberg, log_odds_error, poisson_tail, stratified_log_odds
from cofire.ingest.noise.floor import noise_moments
from cofire.ingest.noise.interference import denoised, interference
from cofire.ingest.pairs.choose import pair_counter
from cofire.ingest.pairs.strata import StratumCounter
from cofire.worlds import DEV_SEEDS, TEST_SEEDS, Encoded, World, bursty, crowd, planted_pairs

FDR, MIN_LOG_ODDS, MIN_COUNT = 0.01, 1.0, 20
MEMORY = 64 * 1024**2


@dataclass(frozen=True)
class Judged:
    """The candidate pairs of a world (those with 20 joint firings), and what the rule says of them."""

    pair: Array  # a N + b
    count: Array
    q: Array  # pairs of too small an effect enter as p = 1
    every_q: Array  # they enter with their own p
    log_odds: Array
    error: Array
    global_q: Array
    global_log_odds: Array
    planted: Array  # bool

    @property
    def kept(self) -> Array:
        return (self.q <= FDR) & (self.log_odds >= MIN_LOG_ODDS)

    @property
    def kept_by_every_q(self) -> Array:
        """By the same rule with q of all pairs' own p."""
        return (self.every_q <= FDR) & (self.log_odds >= MIN_LOG_ODDS)

    @property
    def kept_globally(self) -> Array:
        """By the same rule with E = n_a n_b / T."""
        return (self.global_q <= FDR) & (self.global_log_odds >= MIN_LOG_ODDS)


def say(figures: str) -> None:
    """Print what was measured; pytest -s shows it."""
    sys.stdout.write(figures + "\n")


def say_lost(judged: Judged) -> None:
    """Print, and check, what it changes that pairs of too small an effect enter with p = 1: edges can only be lost."""
    kept, before = judged.kept, judged.kept_by_every_q
    assert not (kept & ~before).any()
    assert (judged.q >= judged.every_q * (1 - 1e-12)).all()
    lost = before & ~kept
    assert lost.sum() <= 0.01 * before.sum()
    known = before & (judged.every_q > 0)
    more = judged.q[known] / judged.every_q[known]
    say(
        f"  small effects at p = 1: {before.sum()} edges, {lost.sum()} lost ({judged.planted[lost].sum()} planted); "
        f"q of the edges grows by a factor of {np.median(more):.4f} (median), {more.max():.4f} at most"
    )


def false_share(kept: Array, planted: Array) -> float:
    return float((kept & ~planted).sum() / max(kept.sum(), 1))


def judge(world: World, indptr: Array, indices: Array, work: Path) -> Judged:
    n, tokens = world.n_latents, len(world.document)
    with (
        pair_counter(n, memory=MEMORY, work=work) as pairs,
        StratumCounter(n, work=work, memory=MEMORY) as strata,
    ):
        pairs.add(indptr, indices)
        strata.add(world.document, indptr, indices)
        blocks = list(pairs.blocks(MIN_COUNT))
        a = np.concatenate([np.repeat(np.arange(b.start, b.stop), np.diff(b.indptr)) for b in blocks])
        b = np.concatenate([block.latent for block in blocks]).astype(np.int64)
        count = np.concatenate([block.count for block in blocks])
        expected = expected_joint(strata, a, b)[0] / ONE
    firings = np.bincount(indices, minlength=n)
    n_a, n_b = firings[a], firings[b]
    live = int((firings > 0).sum())
    tests = live * (live - 1) // 2
    by_chance = n_a * n_b / tokens
    p, log_odds = poisson_tail(count, expected), stratified_log_odds(count, expected, n_a, n_b, tokens)
    return Judged(
        pair=a * n + b,
        count=count,
        q=benjamini_hochberg(np.where(log_odds >= MIN_LOG_ODDS, p, 1.0), tests),
        every_q=benjamini_hochberg(p, tests),
        log_odds=log_odds,
        error=log_odds_error(count, n_a, n_b, tokens),
        global_q=benjamini_hochberg(poisson_tail(count, by_chance), tests),
        global_log_odds=stratified_log_odds(count, by_chance, n_a, n_b, tokens),
        planted=np.isin(a * n + b, world.planted @ np.array([n, 1])),
    )


def clear_firings(world: Encoded, *, denoise: bool) -> tuple[Array, Array]:
    """The firings above the noise floor, max(theta, m0 + 3 sigma0); with or without known interference taken off.

    With it, the noise is what the latents do not explain of x: the spread of (x - sum_k a_k d_k) . w_i.
    """
    tokens = len(world.document)
    row = np.repeat(np.arange(tokens), np.diff(world.indptr))
    sampled = np.isin(row, world.sample)
    firing = (np.concatenate([[0], np.cumsum(np.diff(world.indptr)[world.sample])]), world.indices[sampled])
    x, values = world.x, world.values
    if denoise:
        theta = world.threshold.astype(np.float32)
        overlap = interference(world.w_enc, np.ascontiguousarray(world.w_enc.T))
        values = denoised(world.indptr, world.indices, world.values, overlap, theta)
        known = np.where(values > theta[world.indices], values, 0)[sampled]
        x = x - sp.csr_array((known, firing[1], firing[0]), (len(x), world.n_latents)) @ world.w_enc.T
    m0, sigma0 = noise_moments(x.astype(np.float32), world.w_enc, None, firing)
    floor = np.maximum(world.threshold, m0 + 3 * sigma0)
    clear = values > floor[world.indices]
    return np.concatenate([[0], np.cumsum(np.bincount(row[clear], minlength=tokens))]), world.indices[clear]


def kept_pairs(judged: Judged, n_latents: int) -> set[tuple[int, int]]:
    return {(int(p) // n_latents, int(p) % n_latents) for p in judged.pair[judged.kept]}


@pytest.mark.parametrize("seed", TEST_SEEDS[:2])
def test_topic_bursts_make_no_edges(seed: int, tmp_path: Path) -> None:
    world = bursty(seed)
    judged = judge(world, world.indptr, world.indices, tmp_path)
    by_topic = int(((judged.count >= 50) & ~judged.planted).sum())
    say(
        f"\nbursty {seed}: {len(judged.pair)} candidates, {by_topic} of them fire together >= 50 times by topic alone; "
        f"kept {judged.kept.sum()}, false share {false_share(judged.kept, judged.planted):.2%} "
        f"(by BH alone {false_share(judged.every_q <= FDR, judged.planted):.2%}); "
        f"by a global null {judged.kept_globally.sum()}, {false_share(judged.kept_globally, judged.planted):.2%}"
    )
    say_lost(judged)
    assert len(world.document) == 2_000_000
    assert by_topic > 1000
    assert false_share(judged.kept, judged.planted) <= 0.01
    # The null alone has to do it, without the help of the effect's size.
    assert false_share(judged.every_q <= FDR, judged.planted) <= 0.01
    assert judged.kept[judged.planted].mean() >= 0.95
    assert judged.planted.sum() == len(world.planted)


@pytest.mark.parametrize("seed", TEST_SEEDS[:2])
def test_planted_pairs_are_found(seed: int, tmp_path: Path) -> None:
    world = planted_pairs(seed)
    judged = judge(world, world.indptr, world.indices, tmp_path)
    found, planted = judged.kept[judged.planted], judged.pair[judged.planted]
    truth = world.log_odds[np.searchsorted(world.planted @ np.array([world.n_latents, 1]), planted)]
    weak = truth < 2
    firings = np.bincount(world.indices, minlength=world.n_latents)
    say(
        f"\nplanted pairs {seed}: {len(planted)} of {len(world.planted)} have count >= {MIN_COUNT}; "
        f"recall {found.mean():.3f} (log odds < 2: {found[weak].mean():.3f} of {weak.sum()}); of "
        f"{judged.kept.sum()} kept edges {false_share(judged.kept, judged.planted):.2%} are false; log_odds - planted: "
        f"{np.mean(judged.log_odds[judged.planted] - truth):.2f}; "
        f"prevalence {firings.min()}..{firings.max()} per million"
    )
    say_lost(judged)
    assert len(planted) > 150
    assert found.mean() >= 0.95
    assert false_share(judged.kept, judged.planted) <= 0.01


@pytest.mark.parametrize(("seed", "hidden"), [(TEST_SEEDS[0], 0), (TEST_SEEDS[1], 0), (TEST_SEEDS[2], 250)])
def test_a_crowd_does_not_drown_the_planted_edges(seed: int, hidden: int, tmp_path: Path) -> None:
    loud, quiet = crowd(seed, hidden=hidden), crowd(seed, unrelated=0)
    np.testing.assert_array_equal(loud.planted, quiet.planted)
    shares: dict[bool, tuple[float, float]] = {}
    every = judge(loud, loud.indptr, loud.indices, tmp_path)
    say(f"\ncrowd {seed}, {hidden} of 500 unknown to the encoder, {len(loud.planted)} pairs planted:")
    say_lost(every)
    say(f"  all firings: kept {every.kept.sum()}, {1 - false_share(every.kept, every.planted):.1%} planted")
    for denoise in (False, True):
        clear = judge(loud, *clear_firings(loud, denoise=denoise), tmp_path)
        apart = judge(quiet, *clear_firings(quiet, denoise=denoise), tmp_path)
        say_lost(clear)
        kept, wanted = kept_pairs(clear, loud.n_latents), kept_pairs(apart, quiet.n_latents)
        shares[denoise] = 1 - false_share(clear.kept, clear.planted), len(kept & wanted) / len(wanted)
        say(
            f"  clear firings{', denoised' if denoise else ''}: kept {len(kept)}, {shares[denoise][0]:.1%} planted; "
            f"the quiet world keeps {len(wanted)} ({apart.planted[apart.kept].sum()} planted), "
            f"{shares[denoise][1]:.1%} of them are kept here"
        )
        assert apart.planted[apart.kept].sum() >= 0.95 * len(loud.planted)
    assert shares[True][0] >= 0.60
    assert shares[True][1] >= 0.95


def test_the_same_seed_gives_the_same_world_and_dev_seeds_are_not_test_seeds() -> None:
    assert not set(DEV_SEEDS) & set(TEST_SEEDS)
    for make in (
        lambda seed: bursty(seed, tokens=20_000),
        lambda seed: planted_pairs(seed, tokens=20_000, pairs=5),
        lambda seed: crowd(seed, tokens=5_000, unrelated=20),
    ):
        one, same, other = make(DEV_SEEDS[0]), make(DEV_SEEDS[0]), make(DEV_SEEDS[1])
        np.testing.assert_array_equal(one.indices, same.indices)
        assert not np.array_equal(one.indices, other.indices)
        rows = np.repeat(np.arange(len(one.document)), np.diff(one.indptr))
        assert (np.diff(rows * one.n_latents + one.indices) > 0).all()
        assert (np.diff(one.document) >= 0).all()
