"""Small planted stars and what is none, on arrays: a hub's tokens, and the latents that fire on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from cofire.analysis.stars.hubs import LEAST_JOINT, LEAST_SPOKES, Candidates, HubTokens, candidates, gathered
from cofire.analysis.stars.kernels import shuffled


@dataclass
class Cases:
    """Latents that are put into one text case by case, and the direct edges among them."""

    rng: np.random.Generator
    tokens: int
    fires: list = field(default_factory=list)
    direct: list = field(default_factory=list)
    twins: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.document = (np.arange(self.tokens) // 200).astype(np.int32)

    def add(self, at) -> int:
        self.fires.append(np.sort(np.asarray(at, np.int64)))
        return len(self.fires) - 1

    def context(self, size: int):
        """Tokens of a hub, three times as dense in a third of the documents."""
        weight = np.where(self.rng.random(self.document[-1] + 1) < 1 / 3, 3.0, 1.0)[self.document]
        return self.rng.choice(self.tokens, size, replace=False, p=weight / weight.sum())

    def edge(self, a: int, b: int, weight: float) -> None:
        self.direct.append((min(a, b), max(a, b), weight))

    def hub(self, size: int, spokes: list) -> tuple:
        """A hub on `size` tokens of its own, with a direct edge to each latent on the given ones."""
        at = self.context(size)
        hub = self.add(at)
        made = [self.add(at[chosen]) for chosen in spokes]
        for number, spoke in enumerate(made):
            self.edge(hub, spoke, 5 - 0.01 * number)
        return hub, made

    def star(self, size: int, spokes: int, cover: float, loose: float = 0.0) -> tuple:
        """Exclusive spokes that cover the hub by `cover`; a share `loose` of each fires anywhere on it."""
        own = self.rng.integers(0, spokes, size)
        own[self.rng.random(size) >= cover] = -1
        anywhere = self.rng.random((spokes, size)) < loose / spokes
        return self.hub(size, [np.flatnonzero((own == s) | anywhere[s]) for s in range(spokes)])

    def independent(self, size: int, spokes: int, rate: float) -> tuple:
        """Spokes that fire anywhere on the hub, without regard to each other."""
        return self.hub(size, [np.flatnonzero(self.rng.random(size) < rate) for _ in range(spokes)])

    def candidates(self) -> Candidates:
        a, b, weight = (np.array(column) for column in zip(*self.direct, strict=True))
        twins = np.array(self.twins, np.int64).reshape(-1, 2)
        joint = [len(np.intersect1d(self.fires[x], self.fires[y])) for x, y in zip(a, b, strict=True)]
        firings = np.array([len(at) for at in self.fires])
        return candidates(a, b, weight, np.array(joint), (twins[:, 0], twins[:, 1]), firings, self.tokens)

    def shards(self, cuts: int = 3):
        """The text as shards of equal length."""
        token = np.concatenate(self.fires)
        latent = np.repeat(np.arange(len(self.fires), dtype=np.int32), [len(at) for at in self.fires])
        order = np.argsort(token, kind="stable")
        token, latent = token[order], latent[order]
        for rows in np.array_split(np.arange(self.tokens), cuts):
            within = (token >= rows[0]) & (token <= rows[-1])
            counts = np.bincount(token[within] - rows[0], minlength=len(rows))
            yield self.document[rows], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), latent[within]

    def gathered(self, found: Candidates, cuts: int = 3) -> HubTokens:
        return gathered(found, 0, len(found.hub), self.shards(cuts), len(self.fires))


def scattered(tokens: HubTokens, seed: int) -> HubTokens:
    """The same hubs with each candidate's firings drawn anew among the hub's tokens, within documents."""
    joint = tokens.joint.copy()
    for h in range(len(tokens.hub)):
        bounds, run = documents_of(tokens, h)
        for k in range(tokens.spoke_first[h], tokens.spoke_first[h + 1]):
            at = slice(tokens.joint_first[k], tokens.joint_first[k] + tokens.joint_count[k])
            bits = np.zeros(bounds[-1] // 64 + 1, np.uint64)
            shuffled(tokens.joint[at], run, bounds, np.uint64(seed * 1_000_003 + k), bits)
            joint[at] = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
    return HubTokens(**{**vars(tokens), "joint": joint})


def shifted(tokens: HubTokens, seed: int) -> HubTokens:
    """The same hubs with each candidate's firings moved round within each document, all by as much: runs stay."""
    rng, joint = np.random.default_rng(seed), tokens.joint.copy()
    for h in range(len(tokens.hub)):
        bounds, run = documents_of(tokens, h)
        length = np.diff(bounds)
        for k in range(tokens.spoke_first[h], tokens.spoke_first[h + 1]):
            at = slice(tokens.joint_first[k], tokens.joint_first[k] + tokens.joint_count[k])
            there = run[joint[at]]
            low = bounds[there]
            joint[at] = np.sort(low + (joint[at] - low + rng.integers(0, length)[there]) % length[there])
    return HubTokens(**{**vars(tokens), "joint": joint})


def documents_of(tokens: HubTokens, h: int) -> tuple:
    """Where the documents of a hub's tokens begin and end, and the document of each token, numbered from 0."""
    document = tokens.document[tokens.first[h] : tokens.first[h + 1]]
    bounds = np.flatnonzero(np.concatenate([[True], np.diff(document) != 0, [True]]))
    return bounds, np.repeat(np.arange(len(bounds) - 1, dtype=np.int32), np.diff(bounds))


WITHIN = 1.5
"""Factor within which the joint firings of independent spokes are to lie about those that are expected."""


def independent(tokens: HubTokens, found: Candidates, h: int, rng) -> tuple[bool, bool]:
    """Whether a hub has a star of independent spokes, and whether it has one when its candidates are scattered.

    The rule that was tried for them: as for exclusive ones, but two spokes may fire together on two standard deviations
    more than expected, and one; then an equivalence test (two one-sided ones at 5%: Schuirmann 1987): joint firings
    lie above E / 1.5 and below 1.5 E, E given the documents.
    """
    bounds, _ = documents_of(tokens, h)
    fires = np.zeros((tokens.spoke_first[h + 1] - tokens.spoke_first[h], bounds[-1]), bool)
    for row, k in enumerate(range(tokens.spoke_first[h], tokens.spoke_first[h + 1])):
        fires[row, tokens.joint[tokens.joint_first[k] : tokens.joint_first[k] + tokens.joint_count[k]]] = True
    anew = fires.copy()
    for low, high in pairwise(bounds):
        anew[:, low:high] = rng.permuted(fires[:, low:high], axis=1)
    spokes = tokens.spoke[tokens.spoke_first[h] : tokens.spoke_first[h + 1]]
    near = [set(found.near[found.near_first[s] : found.near_first[s + 1]].tolist()) for s in spokes]
    return _equivalent(fires, bounds, spokes, near), _equivalent(anew, bounds, spokes, near)


def _equivalent(fires, bounds, spokes, near) -> bool:
    count, n, chosen = fires.sum(axis=1), fires.shape[1], []
    for s in np.flatnonzero(count >= LEAST_JOINT).tolist():
        if any(int(spokes[t]) in near[s] for t in chosen):
            continue
        both = (fires[chosen] & fires[s]).sum(axis=1)
        spread = np.sqrt(count[s] * (n - count[s]) * count[chosen] * (n - count[chosen]) / (n**2 * (n - 1)))
        if (both <= count[s] * count[chosen] / n + 1 + 2 * spread).all():
            chosen.append(s)
    if len(chosen) < LEAST_SPOKES:
        return False
    length = np.diff(bounds).astype(float)
    each = np.add.reduceat(fires[chosen].astype(np.int64), bounds[:-1], axis=1)
    spread = each * (length - each) / (length * np.sqrt(np.maximum(length - 1, 1)))
    expected = ((each.sum(axis=0) ** 2 - (each**2).sum(axis=0)) / (2 * length)).sum()
    variance = ((spread.sum(axis=0) ** 2 - (spread**2).sum(axis=0)) / 2).sum()
    on = fires[chosen].sum(axis=0)
    together = (on * (on - 1) // 2).sum()
    above = together - expected / WITHIN > 1.645 * np.sqrt(variance / WITHIN)
    return bool(above and expected * WITHIN - together > 1.645 * np.sqrt(variance * WITHIN))
