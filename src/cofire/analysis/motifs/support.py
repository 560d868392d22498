"""The support of a clique: the tokens on which all its members fire, and whether chance could give as many.

Every two members of a clique fire together; that all of them ever do does not follow. Three latents that meet two by
two in three contexts are a triangle without support.

1. Support O: tokens on which all k members fire.
2. E_m = sum_d S_md n_md / L_d: on so many tokens member m would join all others by chance, if in each document d its
   n_md firings lay anywhere among the L_d tokens; S_md are the tokens of d on which all others fire.
3. The null is that wherever all fire, one of them is there by chance, now this one and now that one: the pairs ab, bc
   and ac each have a reason to meet, and abc have none. Then O is E = sum_m E_m at the most on average (a token on
   which all fire stands in every S_md), and p is the Poisson tail at E (cofire.ingest.edges.significance), which
   bounds that of any sum of independent Bernoulli variables of this mean. E of one member alone would not do: of three
   contexts of two, each adds its share.

What it does not tell is a clique from spokes of a common hub: the hub fires wherever two of its spokes do, and the
three have support. That is what direct edges are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cofire.common.compiled import compiled
from cofire.errors import InputError
from cofire.ingest.edges.significance import poisson_tail

if TYPE_CHECKING:
    from cofire.common.arrays import Floats, Ints, Ints32


@dataclass(frozen=True)
class Support:
    """The support of C cliques.

    Attributes:
        tokens: int64 [C], O.
        expected: float64 [C], E.
        p: float64 [C], an upper bound; 1 where O < expected + 1.
    """

    tokens: Ints
    expected: Floats
    p: Floats


def clique_support(first: Ints, token: Ints32, document: Ints32, cliques: Sequence[Sequence[int]]) -> Support:
    """Return on how many tokens all members of each clique fire, and on how many by chance.

    It assumes that within a document every token is as likely as any other; firings that come in runs make p too small.

    Cost: the firings of all members of all cliques, and the documents for each. Memory: some numbers a document.

    Args:
        first: int64 [N+1], where the tokens of each latent begin; clear firings where noise floors are known.
        token: int32, on which tokens each latent fires, ascending.
        document: int32 [T], the document of each token; equal ones stand together.
        cliques: latents, two and more, each once.

    Raises:
        InputError: a clique has fewer than two latents, one twice, or one that there is not.
    """
    for clique in cliques:
        if len(clique) < 2 or len(set(clique)) < len(clique):
            raise InputError(f"clique {list(clique)}: give two latents and more, each once")
        if not 0 <= min(clique) <= max(clique) < len(first) - 1:
            raise InputError(f"clique {list(clique)}: latents go from 0 to {len(first) - 2}")
    member_first = np.concatenate([[0], np.cumsum([len(clique) for clique in cliques])]).astype(np.int64)
    member = np.array([latent for clique in cliques for latent in clique], np.int64)
    bounds = np.flatnonzero(np.diff(document, prepend=-1, append=-1)).astype(np.int64)
    tokens, expected = np.zeros(len(cliques), np.int64), np.zeros(len(cliques))
    _support(first, token, bounds, member_first, member, np.zeros(len(document), np.int32), tokens, expected)
    return Support(tokens, expected, poisson_tail(tokens, expected))


@compiled
def _support(
    first: Ints,
    token: Ints32,
    bounds: Ints,
    member_first: Ints,
    member: Ints,
    others: Ints32,
    tokens: Ints,
    expected: Floats,
) -> None:
    """Fill `tokens` and `expected`; `others` [T] is 0 everywhere, and is left so.

    `bounds` [D+1] are the documents. Of each token `others` counts the members that fire; where one is missing, which
    it is, is found by going through the members again.
    """
    for c in range(len(tokens)):
        members = member[member_first[c] : member_first[c + 1]]
        k = len(members)
        means = np.zeros(k)
        at, stop = np.empty(k, np.int64), np.empty(k, np.int64)
        for m in range(k):
            at[m] = first[members[m]]
        for d in range(len(bounds) - 1):
            everywhere = 0
            for m in range(k):
                stop[m] = at[m]
                while stop[m] < first[members[m] + 1] and token[stop[m]] < bounds[d + 1]:
                    others[token[stop[m]]] += 1
                    everywhere += others[token[stop[m]]] == k
                    stop[m] += 1
            tokens[c] += everywhere
            length = bounds[d + 1] - bounds[d]
            for m in range(k):
                if stop[m] == at[m]:
                    continue
                # Tokens on which all but m fire: those with all, and those with k - 1 of which m is none.
                missing = 0
                one = 1 if m == 0 else 0
                for place in range(at[one], stop[one]):
                    missing += others[token[place]] == k - 1
                for place in range(at[m], stop[m]):
                    if others[token[place]] == k - 1:
                        # m fires here; only where `one` does too was it counted.
                        low, high = at[one], stop[one]
                        while low < high:
                            middle = (low + high) // 2
                            if token[middle] < token[place]:
                                low = middle + 1
                            else:
                                high = middle
                        missing -= low < stop[one] and token[low] == token[place]
                means[m] += (everywhere + missing) * (stop[m] - at[m]) / length
            for m in range(k):
                for place in range(at[m], stop[m]):
                    others[token[place]] = 0
                at[m] = stop[m]
        expected[c] = means.sum()
