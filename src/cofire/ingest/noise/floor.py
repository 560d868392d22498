"""The noise floor of each latent: where its pre-activation lies, and how wide, on tokens where it does not fire.

An SAE's directions overlap, so that a latent's pre-activation moves with everything else that is active on a token. An
activation within that movement says nothing about the latent. Its centre m0 and spread sigma0 are the median and 1.4826
times the median absolute deviation (MAD) of the pre-activation over off tokens; both are deaf to a few odd tokens.

1. A sample of the stored residuals is read: the rows of the lowest hash, which no cut into shards changes.
2. The residuals become pre-activations by the SAE's own convention: normalisation, decoder bias, encoder.
3. Where a latent fires, its pre-activation must be the stored activation up to the rounding of the residuals to
   float16. If it is not, the convention is not the one taken, and nothing is known of the noise.
4. Off tokens give m0 and sigma0, in blocks of latents.
5. The same of what is left when the latents that fire have been taken off the residual: the noise under activations
   less interference (`denoise`), by which clear firings are told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofire.common.arrays import Floats, Ints, Ints32, Singles
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.noise.interference import Interference
from cofire.ingest.noise.sample import Sample, residual_sample

__all__ = ["MAD_TO_SIGMA", "MIN_OFF", "SAMPLE", "Noise", "capture_noise", "noise_moments"]

Firing = tuple[Ints, Ints32]

MIN_OFF = 200
"""The fewest off tokens that m0 and sigma0 are taken from.

Of n values of a normal variable the median varies by 1.253 sigma / sqrt(n) and 1.4826 MAD by 1.167 sigma / sqrt(n), so
m0 + 3 sigma0 varies by 3.72 sigma / sqrt(n): by .26 sigma at 200, a tenth of the margin that it draws.
"""

MAD_TO_SIGMA = 1.482602218505602
"""1 / the third quartile of the standard normal: the MAD of a normal variable times this is its standard deviation."""

SAMPLE = 32_768
"""The most tokens that m0 and sigma0 are taken from: the floor then varies by .02 sigma (see MIN_OFF), which more
tokens would not better by anything that matters, and they take 4 d bytes each (300 MB at d = 2304)."""

_BLOCK_BYTES = 64 << 20

# Linear encoders: the activation is the pre-activation wherever the latent fires, by whatever rule that is.
_LINEAR = (
    "standard",
    "topk",
    "jumprelu",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)
_LAYER_NORM_EPS = 1e-5  # of sae-lens
_CHECKED_FIRINGS = 1 << 18
_CERTAIN = 7.0


@dataclass(frozen=True)
class Noise:
    """The noise floor of each latent.

    Attributes:
        m0: float64 [N], centre of the pre-activation where the latent does not fire; NaN where it is not known.
        sigma0: float64 [N], its spread.
        reason: why it is known of no latent, in words; None where it is known of some.
        tokens: how many tokens it was taken from.
        rest_m0: float64 [N], centre of what the firing latents do not explain of it; m0 without `interference`.
        rest_sigma0: float64 [N], its spread; sigma0 without `interference`.
        interference: takes known interference off activations; None where that cannot be, or was not asked for.
        plain: why it cannot be, in words; None where it can, or was not asked for.
    """

    m0: Floats
    sigma0: Floats
    reason: str | None
    tokens: int
    rest_m0: Floats
    rest_sigma0: Floats
    interference: Interference | None = None
    plain: str | None = None

    @classmethod
    def unknown(cls, n_latents: int, reason: str, tokens: int = 0) -> Noise:
        """Return the noise floor of which nothing is known."""
        nothing = np.full(n_latents, np.nan)
        return cls(nothing, nothing, reason, tokens, nothing, nothing)


@dataclass(frozen=True)
class _Encoder:
    """One way that the weights may give the pre-activation: normalised residual x w + shift.

    Attributes:
        words: the way, as a formula.
        w: float32 [d, N].
        shift: float32 [N].
    """

    words: str
    w: Singles
    shift: Singles


def capture_noise(capture: CaptureDir, *, denoise: bool = True) -> Noise:
    """Return the noise floor of a capture's latents, from at most SAMPLE of its stored residuals.

    It is known only if some way of encoding gives back the stored activations (see `_worst`). Of a gated SAE it is that
    of the magnitude path, on tokens where the gate or the magnitude keeps the latent silent: the floor is there to be
    compared with activations, and these are magnitudes. Memory: 2 x SAMPLE residuals in float32, the weights twice,
    what `noise_moments` takes, and `denoise.Interference`.

    Args:
        capture: the capture.
        denoise: take known interference off, where that can be.

    Raises:
        CaptureError: a file of the capture is damaged.
    """
    n_latents = capture.manifest.n_latents
    if not capture.has_residuals:
        how = "with x in the npz" if capture.manifest.kind == "import" else "with --residuals"
        return Noise.unknown(n_latents, f"no residuals are stored: make the capture again {how}, to another --out")
    encoders = _encoders(capture)
    if isinstance(encoders, str):
        return Noise.unknown(n_latents, encoders)
    sample = residual_sample(capture, SAMPLE)
    tokens = len(sample.hash)
    if tokens < MIN_OFF:
        return Noise.unknown(
            n_latents, f"residuals of {tokens} tokens are stored, and {MIN_OFF} are the fewest", tokens
        )
    if len(sample.indices) == 0:
        return Noise.unknown(n_latents, "no latent fires where residuals are stored, so they cannot be checked", tokens)
    kind = capture.manifest.sae.normalize_activations
    ratios = [_worst(sample, kind, encoder) for encoder in encoders]
    best = int(np.argmin(ratios))
    if not ratios[best] <= 1:
        tried = " nor ".join(encoder.words for encoder in encoders)
        reason = (
            f"the stored activations are not {tried} of the stored residuals (the largest difference is "
            f"{ratios[best]:.3g} times what rounding explains)"
        )
        return Noise.unknown(n_latents, reason, tokens)
    encoder, firing = encoders[best], (sample.indptr, sample.indices)
    z, _ = _normalise(sample.x(), kind)
    m0, sigma0 = noise_moments(z, encoder.w, encoder.shift, firing)
    known = Interference.of(capture, encoder.w) if denoise else None
    if not isinstance(known, Interference):
        return Noise(m0, sigma0, None, tokens, m0, sigma0, plain=known)
    rest = noise_moments(known.unexplained(z, *firing, sample.values), encoder.w, encoder.shift, firing)
    return Noise(m0, sigma0, None, tokens, *rest, interference=known)


def _encoders(capture: CaptureDir) -> list[_Encoder] | str:
    """Return the ways of encoding to try, most likely first, or in words why there is none.

    An import, and a capture of before this was recorded, does not say whether b_dec is taken off first: both are tried.
    """
    info, weights = capture.manifest.sae, capture.weights()
    if info.architecture == "matching_pursuit":
        return "a matching-pursuit SAE has no pre-activation: it picks its latents one after another"
    if info.architecture not in (*_LINEAR, "gated", None):
        return f"how a {info.architecture} SAE encodes is not known here"
    needed = {"W_enc", "r_mag", "b_mag"} if info.architecture == "gated" else {"W_enc"}
    missing = sorted(needed - set(weights))
    if missing:
        return f"the stored weights have no {', '.join(missing)}"
    if info.architecture == "gated":
        w, bias, words = weights["W_enc"] * np.exp(weights["r_mag"]), weights["b_mag"], "W_enc exp(r_mag) + b_mag"
    else:
        w, words = weights["W_enc"], "W_enc + b_enc"
        bias = weights["b_enc"] if "b_enc" in weights else np.zeros(1, np.float32)
    factor = np.float32(1)
    if info.rescale_acts_by_decoder_norm:
        if "W_dec" not in weights:
            return "the stored weights have no W_dec"
        factor = np.linalg.norm(weights["W_dec"], axis=1)
    w, bias = w * factor, np.broadcast_to(bias * factor, w.shape[1:]).astype(np.float32)

    b_dec = weights.get("b_dec")
    taken_off = [True, False] if info.apply_b_dec_to_input is None else [info.apply_b_dec_to_input]
    ways: list[_Encoder] = []
    for taken in taken_off:
        if not taken:
            ways.append(_Encoder(f"x {words}", w, bias))
        # A transcoder's b_dec is as wide as what it writes, and is never taken off.
        elif b_dec is not None and b_dec.shape == w.shape[:1]:
            ways.append(_Encoder(f"(x - b_dec) {words}", w, bias - b_dec @ w))
    return ways or "the stored weights have no b_dec"


def _normalise(x: Singles, kind: str | None) -> tuple[Singles, Singles]:
    """Return x [R, d] normalised as sae-lens does before encoding, and the factor of each row, [R, 1].

    Source: `_setup_activation_normalization` of sae_lens/saes/sae.py, 6.54.
    """
    if kind == "constant_norm_rescale":
        scale = np.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True)
        return (x * scale).astype(np.float32), scale.astype(np.float32)
    if kind == "layer_norm":
        x = x - x.mean(axis=1, keepdims=True)
        scale = 1 / (x.std(axis=1, ddof=1, keepdims=True) + np.float32(_LAYER_NORM_EPS))
        return x * scale, scale
    return x, np.ones((len(x), 1), np.float32)


def _worst(sample: Sample, kind: str | None, encoder: _Encoder) -> float:
    """Return the largest |h - activation| in units of what rounding explains; above 1, the encoder is another.

    Looked at are the first rows with _CHECKED_FIRINGS firings; being ordered by hash they come from the whole text.

    Rounding to float16 moves x_j by at most u_j = 2^-11 max(|x_j|, 2^-14) (times the row's exponent), up or down alike.
    A sum of such moves times g_j exceeds c sqrt(sum_j (u_j g_j)^2) with probability 2 exp(-c^2 / 2) at most (Hoeffding
    1963, theorem 2); c = 7 makes that 5e-11. g is the gradient of h in x: w, or under a normalisation with factor s
    s (w - mean(w) - z (z w) / d), of which z (z w) / d is bounded by itself. Float32 adds 1e-5 of the terms.
    """
    rows = int(np.searchsorted(sample.indptr, _CHECKED_FIRINGS, side="right")) - 1
    rows = min(max(rows, 1), len(sample.hash))
    indptr = sample.indptr[: rows + 1]
    nnz = int(indptr[-1])
    head = Sample(
        sample.hash[:rows],
        sample.half[:rows],
        sample.exponent[:rows],
        indptr,
        sample.indices[:nnz],
        sample.values[:nnz],
    )
    z, scale = _normalise(head.x(), kind)
    unit = np.ldexp(np.maximum(np.abs(head.half.astype(np.float32)), 2.0**-14), head.exponent[:, None] - 11) * scale
    # What a change of the row's norm does to z w, relative to it.
    stretch = np.sqrt(np.square(unit * z).sum(axis=1)) / z.shape[1] if _normalises(kind) else np.zeros(rows, np.float32)

    row = np.repeat(np.arange(rows), np.diff(indptr))
    by_latent = np.argsort(head.indices, kind="stable")
    worst = 0.0
    step = max(1, _BLOCK_BYTES // (16 * z.shape[1]))
    for start in range(0, nnz, step):
        entries = by_latent[start : start + step]
        t, k = row[entries], head.indices[entries]
        latents, place = np.unique(k, return_inverse=True)
        w = np.ascontiguousarray(encoder.w[:, latents].T)
        centred = w - w.mean(axis=1, keepdims=True) if kind == "layer_norm" else w
        product = np.einsum("ed,ed->e", z[t], w[place])
        spread = np.sqrt(np.einsum("ed,ed->e", np.square(unit)[t], np.square(centred)[place]))
        shift = encoder.shift[k]
        rounding = _CERTAIN * (spread + np.abs(product) * stretch[t]) + 1e-5 * (np.abs(product) + np.abs(shift))
        worst = max(worst, float((np.abs(product + shift - head.values[entries]) / rounding).max()))
    return worst


def _normalises(kind: str | None) -> bool:
    return kind in ("layer_norm", "constant_norm_rescale")


def noise_moments(x: Singles, w_enc: Singles, b_enc: Singles | None, firing: Firing) -> tuple[Floats, Floats]:
    """Return the centre and the spread of each latent's pre-activation h = x w_enc + b_enc where it does not fire.

    m0 is the median over the off rows (of two middle values the mean), sigma0 is 1.4826 times the median of |h - m0|:
    the estimators of DESIGN section 6, "Clear firing". Memory: the inputs, 64 MiB of h at a time (at least one latent's
    rows), and 16 bytes a firing.

    Args:
        x: float32 [R, d], what the encoder's matrix is applied to (normalised, less the decoder's bias where the SAE
            takes it off).
        w_enc: float32 [d, N].
        b_enc: float32 [N], or None for zero.
        firing: which latents fire on each row, as CSR: indptr int64 [R+1], indices int32 [nnz] unique within a row.

    Returns:
        m0 and sigma0, float64 [N], in units of the activation; NaN where fewer than MIN_OFF rows are off.

    Raises:
        ValueError: the shapes do not fit.
    """
    indptr, indices = firing
    rows, n_latents = len(x), w_enc.shape[1]
    if x.shape[1:] != w_enc.shape[:1] or len(indptr) != rows + 1 or (b_enc is not None and b_enc.shape != (n_latents,)):
        raise ValueError(f"x {x.shape}, w_enc {w_enc.shape} and indptr {indptr.shape} do not fit together")
    # By latent: the rows where it fires.
    by_latent = np.argsort(indices, kind="stable")
    fired = np.repeat(np.arange(rows), np.diff(indptr))[by_latent]
    ends = np.cumsum(np.bincount(indices, minlength=n_latents))

    m0, sigma0 = np.full(n_latents, np.nan), np.full(n_latents, np.nan)
    block = max(1, _BLOCK_BYTES // (4 * max(rows, 1)))
    for start in range(0, n_latents, block):
        hidden = w_enc[:, start : start + block].T @ x.T
        for latent, h in enumerate(hidden, start):
            on = fired[ends[latent - 1] if latent else 0 : ends[latent]]
            if rows - len(on) < MIN_OFF:
                continue
            off = np.delete(h, on)
            if b_enc is not None:
                off += b_enc[latent]
            m0[latent] = _median(off)
            sigma0[latent] = MAD_TO_SIGMA * _median(np.abs(off - np.float32(m0[latent])))
    return m0, sigma0


def _median(values: Singles) -> float:
    """The median of one array; numpy's own costs four times as much."""
    middle = len(values) // 2
    pair = [middle] if len(values) % 2 else [middle - 1, middle]
    return float(np.partition(values, pair)[pair].astype(np.float64).mean())
