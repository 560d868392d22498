"""Latents whose pairs fire together directly or by way of a third one, with the truth of each pair.

The cases are those of `indirect_cases`, each several times in one text, every latent in one group alone. A latent is
full (1, spread .06) where it fires and off elsewhere, so that all firings are clear and a count judges the planted
events alone. Of two latents of different groups nothing is said: they share a topic at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cofire.common.arrays import Ints
from cofire.worlds.indirect_cases import CASES, TOKENS, Group, draw_group
from cofire.worlds.world import TOPICS, ShownWorld, Text, full, rows_of

_THRESHOLD = 0.1


@dataclass(frozen=True)
class PlantedCase:
    """One group of a case. A pair of its members that is neither direct nor indirect is not judged.

    Attributes:
        name: a key of CASES.
        members: the latents, ascending.
        direct: int64 [P, 2], pairs a < b that fire together directly.
        indirect: int64 [Q, 2], pairs a < b that are independent but for other members (hub_misses, hub_elsewhere: as
            far as the hub tells).
    """

    name: str
    members: tuple[int, ...]
    direct: Ints
    indirect: Ints


@dataclass(frozen=True)
class PlantedStar:
    """A hub and its spokes.

    Attributes:
        hub: a latent.
        spokes: latents, ascending.
        kind: exclusive (one spoke at a time), or what is none: independent (as much of the hub's firings with a spoke,
            but spokes independent given the hub), plain (the hubs of the case clean_hub or weak_hub).
        cover: share of the hub's firings on which a spoke fires, as it came out.
        one_of: share of them on which exactly one does.
    """

    hub: int
    spokes: tuple[int, ...]
    kind: str
    cover: float
    one_of: float


@dataclass(frozen=True)
class IndirectWorld(ShownWorld):
    """Planted cases; `planted` are the direct pairs of all of them.

    Attributes:
        cases: the groups.
        stars: exclusive stars, and hubs that are none.
    """

    cases: tuple[PlantedCase, ...]
    stars: tuple[PlantedStar, ...]


def indirect_world(
    seed: int, *, tokens: int = TOKENS, cases: Mapping[str, int] | None = None, background: int = 50
) -> IndirectWorld:
    """Return direct and indirect pairs of every case.

    Args:
        seed: of DEV_SEEDS to calibrate on, of TEST_SEEDS to score by. The same seed gives the same world.
        tokens: T; fewer give proportionally fewer firings, and pairs that are no edges.
        cases: how many groups of each case; all as in CASES by default.
        background: latents in no case, on .1 to 1% of the tokens.

    Raises:
        ValueError: `cases` names no case.
    """
    wanted = {name: groups for name, (groups, _) in CASES.items()} if cases is None else cases
    unknown = sorted(set(wanted) - set(CASES))
    if unknown:
        raise ValueError(f"{unknown[0]} is no case; there are {', '.join(CASES)}")
    rng = np.random.default_rng([seed, 10])
    text = Text.drawn(rng, tokens)
    fires: list[Ints] = []
    planted: list[PlantedCase] = []
    stars: list[PlantedStar] = []
    for name in CASES:
        for _ in range(wanted.get(name, 0)):
            group, first = draw_group(rng, text, name), len(fires)
            members = tuple(range(first, first + len(group.fires)))
            planted.append(PlantedCase(name, members, _pairs(group.direct, first), _pairs(group.indirect, first)))
            if group.star is not None:
                stars.append(PlantedStar(first, members[1:], group.star, *_covered(group)))
            fires += group.fires
    for _ in range(background):
        fires.append(text.draw_few(rng, 10 ** rng.uniform(-3, -2), int(rng.integers(TOPICS))))
    indptr, indices = rows_of(fires, tokens)
    direct = np.concatenate([np.zeros((0, 2), np.int64), *(case.direct for case in planted)])
    mu = rng.lognormal(0.0, 0.2, len(fires))
    values = np.maximum(full(rng, len(indices)), 2 * _THRESHOLD)
    return IndirectWorld(
        document=text.document,
        indptr=indptr,
        indices=indices,
        n_latents=len(fires),
        planted=direct,
        log_odds=np.full(len(direct), np.nan),
        values=(mu[indices] * values).astype(np.float32),
        threshold=_THRESHOLD * mu,
        cases=tuple(planted),
        stars=tuple(stars),
    )


def _pairs(pairs: list[tuple[int, int]], first: int) -> Ints:
    return np.array(pairs, np.int64).reshape(-1, 2) + first


def _covered(group: Group) -> tuple[float, float]:
    """Return the shares of the hub's firings on which a spoke fires, and exactly one."""
    spokes = np.sum([np.isin(group.fires[0], at, assume_unique=True) for at in group.fires[1:]], axis=0)
    return float((spokes > 0).mean()), float((spokes == 1).mean())
