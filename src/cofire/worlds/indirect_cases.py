"""The cases of `indirect_world`: which latents fire together directly, and which by way of another one.

Each case is drawn in a text with topics. Whatever is drawn (a context's tokens, a latent's firings by itself) comes in
bursts of its own, and all latents of a case share its topic, so given the document and what is said here they are
independent. Numbers of tokens are for TOKENS tokens; other texts have proportionally many. p is a latent's share of the
tokens of what it follows; *by itself* it fires elsewhere, so many times as often as there.

    chain             3 to 5 latents, each follows the one before (p .35-.6); two apart, and more, indirect
    nested            a latent within (95-99% of its firings) one within a third; the first and last are indirect
    nested_whole      the same without any firing outside: the innermost and the outermost still only by the middle one
    clean_hub         4 to 8 spokes (p .15-.5), independent given the hub; two spokes are indirect
    hub_misses        the same, but the hub is off on 15% of the context that the spokes follow
    hub_elsewhere     the same, but the context is 30-80% of the hub's firings: no latent separates two spokes wholly
    context_3 .. _9   8 members of a hidden context, p .3, .5, .7, .9: every pair is direct
    some_of_six       2 to 4 of 6 members on each token of a hidden context: every pair is direct
    companion         a parent, 2 to 4 children that fire with it alone, each with a companion (p .4-.7): the companion
                      and the parent are indirect
    twin_hubs         a hub twice (each on 93-97% of its context) with 5 spokes: two spokes indirect, all else direct
    split_hub         a hub in two halves, each on 60-80% of its context, with 5 spokes: hubs and spokes direct; of two
                      spokes nothing is said, for no latent separates them
    dense_15, _35     25 direct pairs, all of whose events lie preferably on a latent on 15%, 35% of the text;
                      of the dense latent's own pairs nothing is said
    position          a latent of the first tokens of each document, with 8 that follow it (p .15-.4); one group alone,
                      for two would share their tokens
    weak_*            the same with 20 to 60 expected joint firings of the pairs that the case is about
    exclusive_star    a hub with 4 to 8 spokes of which one fires at a time, on .5-.95 of its tokens; of two spokes
                      nothing is said: they are no edge
    independent_star  the same shares of the hub's tokens with a spoke, but spokes independent given the hub: indirect
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from cofire.common.arrays import Ints
from cofire.worlds.world import TOPICS, Text, between

TOKENS = 300_000
STRONG = (60, 240)
WEAK = (20, 60)
"""Expected joint firings of the pairs that a case is about, where it says so."""

Pairs = list[tuple[int, int]]
Range = tuple[float, float]


@dataclass(frozen=True)
class Group:
    """The latents of one planted case; pairs are numbered within it, the lower first.

    Attributes:
        fires: of each latent the tokens, int64, ascending.
        direct: pairs that fire together directly.
        indirect: pairs that are independent but for other latents of the group.
        star: "exclusive", "independent" or "plain", where latent 0 is a hub with the others as spokes; else None.
    """

    fires: list[Ints]
    direct: Pairs
    indirect: Pairs
    star: str | None = None


@dataclass(frozen=True)
class Source:
    """Draws firings of one group: its text and its topic."""

    rng: np.random.Generator
    text: Text
    topic: int

    def events(self, count: float | np.floating) -> Ints:
        """Return tokens, `count` expected in TOKENS of them, more on the topic and in bursts of their own."""
        return self.text.draw_few(self.rng, float(count) / TOKENS, self.topic)

    def some(self, at: Ints, share: float) -> Ints:
        """Return each of these tokens with this chance."""
        return at[self.rng.random(len(at)) < share]

    def follower(self, at: Ints, share: float, itself: Range) -> Ints:
        """Return a latent that follows `at` and fires by itself so many times as often, drawn from the range."""
        there = self.some(at, share)
        often = len(there) / len(self.text.document) * TOKENS * self.rng.uniform(*itself)
        return np.union1d(there, self.events(often))


def _every(members: range) -> Pairs:
    return list(combinations(members, 2))


def _with_hub(spokes: int) -> Pairs:
    return [(0, spoke) for spoke in range(1, spokes + 1)]


def _chain(draw: Source, joint: Range | None) -> Group:
    length = 3 if joint else int(draw.rng.integers(3, 6))
    shares = draw.rng.uniform(0.35, 0.6, length - 1)
    # The weakest pair of the case: the two ends.
    count = between(draw.rng, *joint) / shares.prod() if joint else between(draw.rng, 800, 2000)
    fires = [draw.events(count)]
    for share in shares:
        # As often as the latent before, so that the chain does not thin out.
        fires.append(draw.follower(fires[-1], share, (1 / share - 1, 1 / share - 1)))
    every = _every(range(length))
    return Group(fires, [(a, b) for a, b in every if b == a + 1], [(a, b) for a, b in every if b > a + 1])


def _nested(draw: Source, outside: Range) -> Group:
    fires = [draw.events(between(draw.rng, 1500, 4000))]
    for _ in range(2):
        out = draw.rng.uniform(*outside)
        fires.append(draw.follower(fires[-1], draw.rng.uniform(0.25, 0.6), (out, out)))
    return Group(fires, [(0, 1), (1, 2)], [(0, 2)])


def _hub(draw: Source, *, on: float = 1.0, inside: Range = (1.0, 1.0), joint: Range | None = None) -> Group:
    """A hub on a share `on` of the context that its spokes follow; the context is `inside` of the hub's firings."""
    spokes = int(draw.rng.integers(4, 9))
    shares = draw.rng.uniform(0.15, 0.5, spokes)
    if joint:
        shares = draw.rng.uniform(0.2, 0.35, spokes)
    count = between(draw.rng, *joint) / np.mean(shares) ** 2 if joint else between(draw.rng, 1000, 3000)
    context = draw.events(count)
    beside = 1 / draw.rng.uniform(*inside) - 1
    fires = [draw.follower(context, on, (beside, beside))]
    fires += [draw.follower(context, share, (0.5, 2.0)) for share in shares]
    clean = on == 1 and inside == (1, 1)
    return Group(fires, _with_hub(spokes), _every(range(1, spokes + 1)), "plain" if clean else None)


def _context(draw: Source, p: float, joint: Range) -> Group:
    context = draw.events(between(draw.rng, *joint) / p**2)
    return Group([draw.follower(context, p, (0.0, 0.25)) for _ in range(8)], _every(range(8)), [])


def _some_of_six(draw: Source) -> Group:
    # 2, 3 or 4 of 6: a pair is on together on (1 + 3 + 6) / 3 / 15 of the tokens.
    context = draw.events(between(draw.rng, *STRONG) * 4.5)
    lots = draw.rng.random((len(context), 6)).argsort(axis=1).argsort(axis=1)
    chosen = lots < draw.rng.integers(2, 5, len(context))[:, None]
    fires = [draw.follower(context[chosen[:, member]], 1.0, (0.0, 0.25)) for member in range(6)]
    return Group(fires, _every(range(6)), [])


def _companion(draw: Source, joint: Range) -> Group:
    children = int(draw.rng.integers(2, 5))
    parts, shares = draw.rng.uniform(0.1, 0.25, children), draw.rng.uniform(0.4, 0.7, children)
    parent = draw.events(between(draw.rng, *joint) / np.mean(parts * shares))
    # Each token of the parent has one child at most.
    part = np.searchsorted(np.cumsum(parts), draw.rng.random(len(parent)), side="right")
    own = [parent[part == child] for child in range(children)]
    beside = [draw.follower(at, share, (0.5, 1.5)) for at, share in zip(own, shares, strict=True)]
    child, companion = range(1, children + 1), range(children + 1, 2 * children + 1)
    direct = _with_hub(children) + list(zip(child, companion, strict=True))
    return Group([parent, *own, *beside], direct, [(0, other) for other in companion])


def _two_hubs(draw: Source, on: Range, *, spokes_judged: bool) -> Group:
    context = draw.events(between(draw.rng, 800, 2000))
    fires = [draw.some(context, draw.rng.uniform(*on)) for _ in range(2)]
    fires += [draw.follower(context, draw.rng.uniform(0.2, 0.5), (0.5, 2.0)) for _ in range(5)]
    direct = [(0, 1), *((hub, spoke) for hub in range(2) for spoke in range(2, 7))]
    return Group(fires, direct, _every(range(2, 7)) if spokes_judged else [])


def _dense(draw: Source, prevalence: float, pairs: int = 25) -> Group:
    # Its share of a document varies as 8 tokens' would.
    share = draw.rng.beta(8 * prevalence, 8 * (1 - prevalence), len(draw.text.topic))
    on = draw.rng.random(len(draw.text.document)) < share[draw.text.document]
    fires = [np.flatnonzero(on)]
    for _ in range(pairs):
        elsewhere = np.exp(-draw.rng.uniform(1.5, 2.5))
        wanted = between(draw.rng, *STRONG)
        mean = prevalence + (1 - prevalence) * elsewhere

        def preferring(count: float, elsewhere: float = elsewhere, mean: float = mean) -> Ints:
            at = draw.events(count / mean)
            return at[on[at] | (draw.rng.random(len(at)) < elsewhere)]

        shares = draw.rng.uniform(0.5, 0.9, 2)
        together = preferring(wanted / shares.prod())
        for p in shares:
            fires.append(np.union1d(draw.some(together, p), preferring(wanted / p * draw.rng.uniform(0.5, 1.0))))
    return Group(fires, [(2 * k + 1, 2 * k + 2) for k in range(pairs)], [])


def _position(draw: Source) -> Group:
    starts = np.flatnonzero(np.diff(draw.text.document, prepend=-1))
    first = int(draw.rng.integers(0, 4))
    window = (starts[:, None] + np.arange(first, first + int(draw.rng.integers(3, 7)))).ravel()
    # Documents have ten tokens and more, but for the last.
    window = window[window < len(draw.text.document)]
    fires = [window, *(draw.follower(window, draw.rng.uniform(0.15, 0.4), (0.5, 2.0)) for _ in range(8))]
    return Group(fires, _with_hub(8), _every(range(1, 9)))


def _star(draw: Source, *, exclusive: bool) -> Group:
    spokes = int(draw.rng.integers(4, 9))
    hub = draw.events(between(draw.rng, 900, 2500))
    cover = draw.rng.uniform(0.5, 0.95)
    weight = draw.rng.uniform(0.5, 1.5, spokes)
    weight /= weight.sum()
    if exclusive:
        which = np.searchsorted(np.cumsum(cover * weight), draw.rng.random(len(hub)), side="right")
        own = [hub[which == spoke] for spoke in range(spokes)]
    else:
        # The product of all (1 - p) is 1 - cover.
        own = [draw.some(hub, 1 - (1 - cover) ** w) for w in weight]
    fires = [hub, *(draw.follower(at, 1.0, (0.0, 1.0)) for at in own)]
    if exclusive:
        return Group(fires, _with_hub(spokes), [], "exclusive")
    return Group(fires, _with_hub(spokes), _every(range(1, spokes + 1)), "independent")


CASES: dict[str, tuple[int, Callable[[Source], Group]]] = {
    "chain": (10, partial(_chain, joint=None)),
    "weak_chain": (15, partial(_chain, joint=WEAK)),
    "nested": (15, partial(_nested, outside=(0.01, 0.05))),
    "nested_whole": (15, partial(_nested, outside=(0.0, 0.0))),
    "clean_hub": (10, _hub),
    "weak_hub": (10, partial(_hub, joint=WEAK)),
    "hub_misses": (8, partial(_hub, on=0.85)),
    "hub_elsewhere": (8, partial(_hub, inside=(0.3, 0.8))),
    **{f"context_{round(10 * p)}": (10, partial(_context, p=p, joint=STRONG)) for p in (0.3, 0.5, 0.7, 0.9)},
    **{f"weak_context_{round(10 * p)}": (10, partial(_context, p=p, joint=WEAK)) for p in (0.3, 0.5, 0.7, 0.9)},
    "some_of_six": (10, _some_of_six),
    "companion": (15, partial(_companion, joint=STRONG)),
    "weak_companion": (15, partial(_companion, joint=WEAK)),
    "twin_hubs": (5, partial(_two_hubs, on=(0.93, 0.97), spokes_judged=True)),
    "split_hub": (15, partial(_two_hubs, on=(0.6, 0.8), spokes_judged=False)),
    "dense_15": (2, partial(_dense, prevalence=0.15)),
    "dense_35": (2, partial(_dense, prevalence=0.35)),
    "position": (1, _position),
    "exclusive_star": (20, partial(_star, exclusive=True)),
    "independent_star": (10, partial(_star, exclusive=False)),
}
"""Of each case how many groups there are, and what draws one."""


def draw_group(rng: np.random.Generator, text: Text, case: str) -> Group:
    """Return one group of a case, a key of CASES, with a topic of its own."""
    return CASES[case][1](Source(rng, text, int(rng.integers(TOPICS))))
