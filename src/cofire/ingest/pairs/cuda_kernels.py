"""Triton kernels of the counting on a GPU; `cuda` drives them.

1. `visits` transposes a slab of token lists by a counting sort: for each latent, where its firings stand and how much
   of the token's list follows.
2. `walk` adds, for each visit of a latent, the rest of that token's list into the latent's row of counters (Gustavson
   1978, row by row). A warp reads one list at a time, so its loads are contiguous; the additions are relaxed atomics
   whose result nobody reads (RED), done in L2. A latent with many visits is cut into pieces, so that no program runs
   longer than the others; pieces stand in the order of latents, so that the few rows that are being added to at one
   time stay in L2.
3. `fill`, `multiply` and `spread` count the pairs among the latents that fire most as a product of dense 0/1 tiles,
   int8 with int32 sums, on the tensor cores.

Counters of a row block stand packed: row a holds the pairs (a, a+1) ... (a, N-1), and starts at a (2N - a - 1) / 2
less where the block starts. Triton keeps no addressable counters in shared memory, hence L2.
The same kernels run on CPU tensors where TRITON_INTERPRET=1 is set before this module is imported.
"""

from __future__ import annotations

import triton  # type: ignore[import-untyped]  # triton publishes no types
import triton.language as tl  # type: ignore[import-untyped]

# What one program of `walk` handles at once: a warp per list of 32, four lists in flight in each of 4 warps.
LISTS = 16
LANES = 32
# Tokens that one program of `visits` and `fill` handles.
TOKENS = 8
# Latents, and tokens of one step, of a dense tile.
TILE = 128
STEP = 128


@triton.jit  # type: ignore[untyped-decorator]
def latent_ids(ids: tl.tensor, at: tl.tensor, mask: tl.tensor, WIDE: tl.constexpr) -> tl.tensor:
    """Return int32 latents; int16 storage holds them as unsigned 16-bit numbers."""
    found = tl.load(ids + at, mask=mask, other=0).to(tl.int32)
    if not WIDE:
        found = found & 0xFFFF
    return found


@triton.jit(do_not_specialize=["tokens"])  # type: ignore[untyped-decorator]
def visits(
    ids: tl.tensor,
    starts: tl.tensor,
    cursor: tl.tensor,
    visit_at: tl.tensor,
    visit_rest: tl.tensor,
    tokens: tl.tensor,
    WIDE: tl.constexpr,
    PLACE: tl.constexpr,
    TOKENS: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Count the visits of each latent, or put them into place.

    Args:
        ids: int16 or int32 [nnz], the slab's latents, token by token.
        starts: int32 [tokens + 1], where each token's list starts.
        cursor: int32 [N]; counts are added to it, or it says where each latent's next visit goes.
        visit_at: int32 [nnz], output of the second use: place in `ids` just after the firing.
        visit_rest: int32 [nnz], output of the second use: how many ids of that token follow.
        tokens: tokens of the slab.
        WIDE: ids are int32.
        PLACE: the second use.
        TOKENS: tokens a program.
        LANES: ids read of each at once.
    """
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    start = tl.load(starts + token, mask=token < tokens, other=0)
    stop = tl.load(starts + token + 1, mask=token < tokens, other=0)
    longest = tl.max(stop - start, axis=0)
    for lane in range(0, longest, LANES):
        at = start[:, None] + lane + tl.arange(0, LANES)[None, :]
        here = at < stop[:, None]
        latent = latent_ids(ids, at, here, WIDE)
        slot = tl.atomic_add(cursor + latent, 1, mask=here, sem="relaxed")
        if PLACE:
            tl.store(visit_at + slot, at + 1, mask=here)
            tl.store(visit_rest + slot, stop[:, None] - at - 1, mask=here)


@triton.jit(do_not_specialize=["first_piece", "block_base", "span"])  # type: ignore[untyped-decorator]
def walk(
    ids: tl.tensor,
    visit_at: tl.tensor,
    visit_rest: tl.tensor,
    piece_latent: tl.tensor,
    piece_start: tl.tensor,
    latent_stop: tl.tensor,
    hot: tl.tensor,
    counters: tl.tensor,
    first_piece: tl.tensor,
    block_base: tl.tensor,
    span: tl.tensor,
    WIDE: tl.constexpr,
    HOT: tl.constexpr,
    VISITS: tl.constexpr,
    LISTS: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Add the visits of one piece of a latent to that latent's row.

    Args:
        ids: int16 or int32 [nnz], the slab's latents, token by token.
        visit_at: int32 [nnz], see `visits`.
        visit_rest: int32 [nnz], see `visits`.
        piece_latent: int32 [pieces], the latent of each piece.
        piece_start: int32 [pieces], the first visit of each piece.
        latent_stop: int32 [N], the end of each latent's visits.
        hot: int8 [N], 1 for latents whose pairs among each other `multiply` counts.
        counters: int32, the packed row block.
        first_piece: the row block's first piece.
        block_base: packed place of the row block's first row.
        span: 2N - 1.
        WIDE: ids are int32.
        HOT: any latent is hot.
        VISITS: visits of a piece.
        LISTS: visits handled at once.
        LANES: ids read of each at once.
    """
    piece = first_piece + tl.program_id(0)
    latent = tl.load(piece_latent + piece)
    begin = tl.load(piece_start + piece)
    end = tl.minimum(begin + VISITS, tl.load(latent_stop + latent))
    wide = latent.to(tl.int64)
    row = counters + (wide * (span - wide) // 2 - block_base - wide - 1)
    if HOT:
        is_hot = tl.load(hot + latent) != 0
    for first in range(begin, end, LISTS):
        visit = first + tl.arange(0, LISTS)
        at = tl.load(visit_at + visit, mask=visit < end, other=0)
        rest = tl.load(visit_rest + visit, mask=visit < end, other=0)
        longest = tl.max(rest, axis=0)
        for lane in range(0, longest, LANES):
            offset = lane + tl.arange(0, LANES)
            here = offset[None, :] < rest[:, None]
            other = latent_ids(ids, at[:, None] + offset[None, :], here, WIDE)
            if HOT:
                # Lanes that are off read nothing, so this costs the rows of hot latents alone.
                here = here & (tl.load(hot + other, mask=here & is_hot, other=0) == 0)
            tl.atomic_add(row + other, 1, mask=here, sem="relaxed")


@triton.jit(do_not_specialize=["first_token", "last_token"])  # type: ignore[untyped-decorator]
def fill(
    ids: tl.tensor,
    starts: tl.tensor,
    hot_rank: tl.tensor,
    tile: tl.tensor,
    first_token: tl.tensor,
    last_token: tl.tensor,
    stride: tl.tensor,
    WIDE: tl.constexpr,
    TOKENS: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Write the dense 0/1 tile of the hot latents on a run of tokens; the tile holds zeros before.

    Args:
        ids: int16 or int32 [nnz], the slab's latents, token by token.
        starts: int32 [tokens + 1], where each token's list starts.
        hot_rank: int32 [N], row of the latent in the tile, -1 for the others.
        tile: int8 [H, stride], output.
        first_token: the run's first token.
        last_token: the end of the run.
        stride: tokens a row of the tile holds.
        WIDE: ids are int32.
        TOKENS: tokens a program.
        LANES: ids read of each at once.
    """
    token = first_token + tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    start = tl.load(starts + token, mask=token < last_token, other=0)
    stop = tl.load(starts + token + 1, mask=token < last_token, other=0)
    longest = tl.max(stop - start, axis=0)
    for lane in range(0, longest, LANES):
        at = start[:, None] + lane + tl.arange(0, LANES)[None, :]
        here = at < stop[:, None]
        rank = tl.load(hot_rank + latent_ids(ids, at, here, WIDE), mask=here, other=-1)
        place = rank.to(tl.int64) * stride + (token - first_token)[:, None]
        tl.store(tile + place, tl.full([TOKENS, LANES], 1, tl.int8), mask=rank >= 0)


@triton.jit(do_not_specialize=["steps"])  # type: ignore[untyped-decorator]
def multiply(
    tile: tl.tensor,
    tile_i: tl.tensor,
    tile_j: tl.tensor,
    joint: tl.tensor,
    width: tl.tensor,
    stride: tl.tensor,
    steps: tl.tensor,
    TILE: tl.constexpr,
    STEP: tl.constexpr,
) -> None:
    """Add the joint firings of two groups of TILE hot latents on a run of tokens.

    Args:
        tile: int8 [width, stride], the dense 0/1 tile, zero beyond the run.
        tile_i: int32 [programs], the group of the rows.
        tile_j: int32 [programs], the group of the columns, >= tile_i: the lower triangle is not needed.
        joint: int32 [width, width], sums of all runs.
        width: H, a multiple of TILE.
        stride: tokens a row of the tile holds, a multiple of STEP.
        steps: STEPs of tokens in this run.
        TILE: latents of a group.
        STEP: tokens of one matrix instruction's turn.
    """
    i = tl.load(tile_i + tl.program_id(0)) * TILE + tl.arange(0, TILE)
    j = tl.load(tile_j + tl.program_id(0)) * TILE + tl.arange(0, TILE)
    k = tl.arange(0, STEP)
    left = tile + i.to(tl.int64)[:, None] * stride + k[None, :]
    right = tile + j.to(tl.int64)[None, :] * stride + k[:, None]
    total = tl.zeros([TILE, TILE], tl.int32)
    for _ in range(steps):
        total = tl.dot(tl.load(left), tl.load(right), acc=total, out_dtype=tl.int32)
        left += STEP
        right += STEP
    place = joint + i.to(tl.int64)[:, None] * width + j[None, :]
    tl.store(place, tl.load(place) + total)


@triton.jit(do_not_specialize=["first_rank", "count", "block_base", "span"])  # type: ignore[untyped-decorator]
def spread(
    joint: tl.tensor,
    hot_ids: tl.tensor,
    counters: tl.tensor,
    first_rank: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
    block_base: tl.tensor,
    span: tl.tensor,
    LANES: tl.constexpr,
) -> None:
    """Add one hot latent's row of `joint` to its packed row of a row block.

    Args:
        joint: int32 [width, width], joint firings of the hot latents.
        hot_ids: int32 [count], the hot latents, ascending.
        counters: int32, the packed row block.
        first_rank: the first hot latent of the row block.
        count: hot latents.
        width: columns of `joint`.
        block_base: packed place of the row block's first row.
        span: 2N - 1.
        LANES: columns handled at once.
    """
    rank = first_rank + tl.program_id(0)
    latent = tl.load(hot_ids + rank).to(tl.int64)
    row = counters + (latent * (span - latent) // 2 - block_base - latent - 1)
    for lane in range(rank + 1, count, LANES):
        other = lane + tl.arange(0, LANES)
        here = other < count
        place = row + tl.load(hot_ids + other, mask=here, other=0)
        added = tl.load(joint + rank.to(tl.int64) * width + other, mask=here, other=0)
        tl.store(place, tl.load(place, mask=here, other=0) + added, mask=here)
