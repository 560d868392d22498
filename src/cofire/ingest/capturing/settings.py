"""What a capture's numbers depend on, SAE and model apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Device = Literal["auto", "cpu", "cuda"]
"""Where model and SAEs run; auto: on CUDA where torch finds a device."""

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
"""The model's number format; SAEs encode in float32."""

TEXT_REVISION = "text_revision"
"""The setting that a manifest has only where it is known."""


@dataclass(frozen=True)
class CaptureSettings:
    """The settings of one run over all its SAEs. They are in the manifest; a run goes on with equal ones alone.

    Attributes:
        tokens: how many text tokens to take, masked ones included; None for all.
        context: tokens in a window, BOS included.
        batch: windows in one run of the model.
        dtype: the model's number format.
        device: "cpu" or "cuda".
        prepend_bos: a window begins with BOS.
        text: fingerprint of the text.
        text_revision: the commit of a dataset of the hub, whose fingerprint is of the name alone; None for every
            other text, and where the hub does not tell it.
        text_field: the field that holds it, in JSON lines and datasets.
        mask_special: special tokens are left out.
        norm_factor: tokens are left out whose norm is above this times the median; None for no limit.
        shard_windows: windows in a shard.
        residual_share: the share of the tokens of which is stored what the SAEs read; None for none.
        keep: activations are stored; else they are counted at once.
    """

    tokens: int | None
    context: int
    batch: int
    dtype: Dtype
    device: str
    prepend_bos: bool
    text: str
    text_revision: str | None
    text_field: str
    mask_special: bool
    norm_factor: float | None
    shard_windows: int
    residual_share: float | None
    keep: bool

    def recorded(self) -> dict[str, Any]:
        """Return them as the manifest has them: `no_keep` and `text_revision` only where they say something."""
        own = asdict(self)
        if own[TEXT_REVISION] is None:
            del own[TEXT_REVISION]
        return {**own, "no_keep": True} if not own.pop("keep") else own
