"""Worlds of planted pairs, to calibrate and to score the edge rule by: see cofire.worlds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cofire.common.arrays import Bools, Floats, Ints, Ints32, Singles
from cofire.worlds.world import World, documents, full, rows_of


@dataclass(frozen=True)
class Encoded(World):
    """A world seen through an encoder.

    Attributes:
        values: float32 [nnz], activations, those of `indices`.
        threshold: float64 [N], theta; a latent fires where its pre-activation is above it.
        w_enc: float32 [d, N].
        sample: int64 [R], tokens whose residuals are kept.
        x: float32 [R, d], their residuals.
    """

    values: Singles
    threshold: Floats
    w_enc: Singles
    sample: Ints
    x: Singles


def bursty(
    seed: int, *, tokens: int = 2_000_000, topics: int = 20, per_topic: int = 20, pairs_per_topic: int = 3
) -> World:
    """Return latents that fire in bursts, in documents of their topic.

    A document has one topic and an intensity; each latent of the topic has a rate of its own there, .03 to .06 times
    intensity times a gamma variable, and elsewhere .0002. Given the document, tokens and latents are independent,
    except the planted pairs, whose odds ratio is e^1.5 to e^3. At full size each pair of one topic fires together
    some 100 to 300 times by topic alone.
    """
    rng = np.random.default_rng([seed, 1])
    document = documents(rng, tokens, 400)
    n_documents = int(document[-1]) + 1
    topic = rng.integers(topics, size=n_documents)
    intensity = rng.gamma(4.0, 1 / 4.0, n_documents)
    loners = topics * per_topic
    n = loners + 2 * topics * pairs_per_topic
    log_odds = rng.uniform(1.5, 3.0, topics * pairs_per_topic)
    base = rng.uniform(0.03, 0.06, n)
    fires: list[Ints] = [np.zeros(0, np.int64)] * n

    def rate(latent: int, here: Ints) -> Floats:
        by_document = base[latent] * intensity * rng.gamma(2.0, 1 / 2.0, n_documents)
        return np.asarray(np.minimum(by_document, 0.5)[document[here]], np.float64)

    for t in range(topics):
        on_topic = topic[document] == t
        here, elsewhere = np.flatnonzero(on_topic), np.flatnonzero(~on_topic)
        for latent in range(t * per_topic, (t + 1) * per_topic):
            fires[latent] = here[rng.random(len(here)) < rate(latent, here)]
        for pair in range(t * pairs_per_topic, (t + 1) * pairs_per_topic):
            a, b = loners + 2 * pair, loners + 2 * pair + 1
            both = _pair(rng, rate(a, here), rate(b, here), log_odds[pair])
            fires[a], fires[b] = here[both[0]], here[both[1]]
        own = range(t * per_topic, (t + 1) * per_topic)
        paired = range(loners + 2 * t * pairs_per_topic, loners + 2 * (t + 1) * pairs_per_topic)
        for latent in (*own, *paired):
            fires[latent] = np.concatenate([fires[latent], elsewhere[rng.random(len(elsewhere)) < 0.0002]])
    first = np.arange(loners, n, 2)
    return World(document, *rows_of(fires, tokens), n, np.stack([first, first + 1], 1), log_odds)


def planted_pairs(seed: int, *, tokens: int = 1_000_000, pairs: int = 300) -> World:
    """Return pairs of latents (2k, 2k + 1) whose firings have an odds ratio of e^1.25 to e^4 within a document.

    Prevalences lie between 1e-4 and 1e-1, evenly in the logarithm, and vary between documents by a gamma variable
    (shape 2) that each latent has for itself. Everything else is independent.
    """
    rng = np.random.default_rng([seed, 2])
    document = documents(rng, tokens, 400)
    n_documents = int(document[-1]) + 1
    log_odds = rng.uniform(1.25, 4.0, pairs)
    prevalence = 10 ** rng.uniform(-4, -1, 2 * pairs)
    fires: list[Ints] = []
    for pair in range(pairs):
        rates = [
            np.minimum(prevalence[latent] * rng.gamma(2.0, 1 / 2.0, n_documents), 0.5)[document]
            for latent in (2 * pair, 2 * pair + 1)
        ]
        fires += [np.flatnonzero(f) for f in _pair(rng, rates[0], rates[1], log_odds[pair])]
    first = np.arange(0, 2 * pairs, 2)
    return World(document, *rows_of(fires, tokens), 2 * pairs, np.stack([first, first + 1], 1), log_odds)


def crowd(
    seed: int,
    *,
    tokens: int = 200_000,
    unrelated: int = 500,
    hidden: int = 0,
    active: float = 14.0,
    d: int = 1024,
    theta: float = 0.25,
) -> Encoded:
    """Return clusters and pairs seen by a tied encoder among unrelated latents whose directions overlap.

    x = sum_k a_k d_k with random unit directions d_k and no noise besides; h = x W with W's columns the d_k; a latent
    fires where h > theta. Main peaks lie at a = 1 (spread .06). The latents: first the planted ones, the same whatever
    `unrelated` is, so that `unrelated` = 0 is the quiet twin; then the unrelated ones, `active` of them on a token on
    the whole, more often in some documents than in others. The last `hidden` of these the encoder does not know: they
    are in x and are no latents. At theta = .25 about half of all firings lie below the noise floor, as in the
    BatchTopK and TopK SAEs of shared/real.

    Planted: 8 stars of compositions (a hub with one of 5 spokes), 8 cliques of compositions (2 or 3 of 6 in full), 20
    cliques of ambiguity (2 or 3 of 6 share one token's weight), 60 pairs; each event on .2-.8% of the tokens, and each
    latent by itself on .1-.4%. Every pair that some event brings together is planted.
    """
    rng = np.random.default_rng([seed, 3])
    document = documents(rng, tokens, 300)
    strength, planted = _events(rng, tokens)
    own = len(strength)
    directions = rng.standard_normal((own, d))
    rng = np.random.default_rng([seed, 4])
    if unrelated:
        prevalence = rng.lognormal(0, 0.5, unrelated)
        prevalence *= active / prevalence.sum()
        for rate in prevalence:
            by_document = np.minimum(rate * rng.gamma(2.0, 1 / 2.0, int(document[-1]) + 1), 0.5)
            at = np.flatnonzero(rng.random(tokens) < by_document[document])
            strength.append((at, full(rng, len(at))))
        directions = np.concatenate([directions, rng.standard_normal((unrelated, d))])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return _encoded(rng, document, strength, directions.astype(np.float32), len(strength) - hidden, theta, planted)


def _pair(rng: np.random.Generator, p_a: Floats, p_b: Floats, log_odds: float) -> tuple[Bools, Bools]:
    """Draw two events with these chances and this log odds ratio (Plackett 1965)."""
    excess = np.expm1(log_odds)
    s = 1 + excess * (p_a + p_b)
    # The smaller root of excess j^2 - s j + odds p_a p_b = 0, written so that it does not cancel.
    joint = 2 * np.exp(log_odds) * p_a * p_b / (s + np.sqrt(s * s - 4 * excess * np.exp(log_odds) * p_a * p_b))
    u = rng.random(len(p_a))
    return u < p_a, (u < joint) | ((u >= p_a) & (u < p_a + p_b - joint))


def _events(rng: np.random.Generator, tokens: int) -> tuple[list[tuple[Ints, Floats]], Ints]:
    """Return tokens and strengths at which each planted latent is truly active, and the pairs that events join."""
    groups = [("star", 6)] * 8 + [("composition", 6)] * 8 + [("ambiguity", 6)] * 20 + [("pair", 2)] * 60
    strength: list[tuple[Ints, Floats]] = []
    planted: list[tuple[int, int]] = []
    for kind, size in groups:
        first = len(strength)
        at = np.flatnonzero(rng.random(tokens) < rng.uniform(0.002, 0.008))
        amount = np.zeros((len(at), size))
        if kind == "star":
            amount[:, 0] = full(rng, len(at))
            amount[np.arange(len(at)), rng.integers(1, size, len(at))] = full(rng, len(at))
        elif kind == "pair":
            amount[:] = full(rng, 2 * len(at)).reshape(-1, 2)
        else:
            # The two or three members with the lowest lots.
            lots = rng.random((len(at), size)).argsort(axis=1).argsort(axis=1)
            chosen = lots < rng.integers(2, 4, len(at))[:, None]
            if kind == "composition":
                amount[chosen] = full(rng, int(chosen.sum()))
            else:
                share = rng.gamma(6.0, 1.0, (len(at), size)) * chosen
                amount[:] = share / share.sum(axis=1, keepdims=True) * full(rng, len(at))[:, None]
        for member in range(size):
            alone = np.flatnonzero(rng.random(tokens) < rng.uniform(0.001, 0.004))
            alone = np.setdiff1d(alone, at, assume_unique=True)
            on = np.flatnonzero(amount[:, member] > 0)
            strength.append(
                (np.concatenate([at[on], alone]), np.concatenate([amount[on, member], full(rng, len(alone))]))
            )
        partners = [(0, spoke) for spoke in range(1, size)] if kind == "star" else combinations(range(size), 2)
        planted += [(first + a, first + b) for a, b in partners]
    return strength, np.array(planted, np.int64)


def _encoded(
    rng: np.random.Generator,
    document: Ints32,
    strength: list[tuple[Ints, Floats]],
    directions: Singles,
    n: int,
    theta: float,
    planted: Ints,
) -> Encoded:
    """Encode the true strengths with the first n directions."""
    import scipy.sparse as sp

    tokens, features = len(document), len(strength)
    row = np.concatenate([at for at, _ in strength])
    column = np.repeat(np.arange(features), [len(at) for at, _ in strength])
    amount = np.concatenate([a for _, a in strength]).astype(np.float32)
    true = sp.csr_array((amount, (row, column)), shape=(tokens, features))
    # h = x W = (A D) D^T; in this order nothing of size [T, d] is made.
    gram = directions @ directions[:n].T
    lengths, indices, values = [], [], []
    for start in range(0, tokens, 4096):
        h = true[start : start + 4096] @ gram
        fires = h > theta
        lengths.append(fires.sum(axis=1))
        indices.append(np.nonzero(fires)[1].astype(np.int32))
        values.append(h[fires].astype(np.float32))
    sample = np.sort(rng.choice(tokens, min(tokens, 16_384), replace=False))
    return Encoded(
        document=document,
        indptr=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
        indices=np.concatenate(indices),
        n_latents=n,
        planted=planted,
        log_odds=np.full(len(planted), np.nan),
        values=np.concatenate(values),
        threshold=np.full(n, theta),
        w_enc=directions[:n].T.copy(),
        sample=sample,
        x=np.asarray(true[sample] @ directions, np.float32),
    )
