"""Activations computed without cofire: sae-lens and TransformerBridge, window by window, a batch of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cofire.common.quiet import quiet
from cofire.ingest.capture_dir.directory import CaptureDir

# Float noise between one window and a batch, in units of the activation.
RELATIVE, ABSOLUTE = 1e-4, 2e-3


@dataclass(frozen=True)
class Reference:
    """A model to compare with."""

    bridge: Any
    tokenizer: Any
    known: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> Reference:
        with quiet():
            from transformer_lens.model_bridge import TransformerBridge
            from transformers import AutoTokenizer

            return cls(
                TransformerBridge.boot_transformers(str(directory), device="cpu"),
                AutoTokenizer.from_pretrained(directory),
            )

    def tokens(self, text: str) -> list[int]:
        with quiet():
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def residuals(self, tokens: list[int], hook: str, context: int, prepend_bos: bool) -> Any:
        """The activations at `hook` of every token of a document, [n, ...]."""
        import torch

        key = (tuple(tokens), hook, context, prepend_bos)
        if key in self.known:
            return self.known[key]
        found = []
        step = context - prepend_bos
        stop = int(hook.split(".")[1]) + 1
        for start in range(0, len(tokens), step):
            window = [self.tokenizer.bos_token_id] * prepend_bos + tokens[start : start + step]
            with torch.no_grad(), quiet():
                _, cache = self.bridge.run_with_cache(torch.tensor([window]), names_filter=hook, stop_at_layer=stop)
            found.append(cache[hook][0, int(prepend_bos) :])
        self.known[key] = torch.cat(found)
        return self.known[key]


def load_sae(directory: Path) -> Any:
    with quiet():
        from sae_lens import SAE

        return SAE.load_from_disk(directory, dtype="float32")


def rows_of(capture: CaptureDir) -> Iterator[tuple[int, int, int, npt.NDArray[np.float32]]]:
    """(document, position, token, dense activations float32 [N]) of each row."""
    for shard in capture.shards():
        for row in range(shard.rows):
            dense = np.zeros(capture.manifest.n_latents, np.float32)
            part = slice(shard.indptr[row], shard.indptr[row + 1])
            assert (np.diff(shard.indices[part]) > 0).all()
            assert (shard.values[part] > 0).all()
            dense[shard.indices[part]] = shard.values[part]
            yield int(shard.document[row]), int(shard.position[row]), int(shard.token[row]), dense


def assert_same(
    dense: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], edge: npt.NDArray[np.float32]
) -> None:
    """Equal up to float noise; a latent may fire in one only, if its activation is at its edge."""
    both = (dense > 0) & (expected > 0)
    np.testing.assert_allclose(dense[both], expected[both], rtol=RELATIVE, atol=ABSOLUTE)
    one = (dense > 0) != (expected > 0)
    assert (np.maximum(dense, expected)[one] <= edge[one] + ABSOLUTE).all(), np.flatnonzero(one)


def assert_capture_equals_encode(
    capture: CaptureDir, reference: Reference, sae_directory: Path, texts: list[str], tokens: int | None = None
) -> None:
    """Every row of a capture holds the right token and what `sae.encode` gives there; absent rows are masked ones."""
    import torch

    sae = load_sae(sae_directory)
    settings, masking = capture.manifest.settings, capture.manifest.masking
    # encode of the SAE as it was saved, times the norms that capture folds in (a rescaling top-k does that itself).
    folded = capture.manifest.sae.folded_decoder_norm and not getattr(sae.cfg, "rescale_acts_by_decoder_norm", False)
    norms = sae.W_dec.detach().norm(dim=-1).numpy() if folded else np.float32(1)
    if not capture.manifest.sae.folded_decoder_norm and sae.cfg.architecture() in ("standard", "jumprelu"):
        assert np.allclose(sae.W_dec.detach().norm(dim=-1).numpy(), 1, atol=1e-3)
    threshold = (sae.threshold.detach().numpy() if hasattr(sae, "threshold") else np.zeros(sae.cfg.d_sae)) * norms
    special = set(reference.tokenizer.all_special_ids)
    rows = rows_of(capture)
    kept = outliers = specials = 0
    left = tokens
    for number, text in enumerate(texts):
        ids = reference.tokens(text)[:left]
        if not ids:
            continue
        residuals = reference.residuals(
            ids, capture.manifest.sae.hook or "", settings["context"], settings["prepend_bos"]
        )
        head = sae.cfg.metadata.hook_head_index
        inputs = (residuals if head is None else residuals[:, head]).flatten(1)
        sae.turn_off_forward_pass_hook_z_reshaping()
        with torch.no_grad():
            expected = sae.encode(inputs).numpy() * norms
        lengths = inputs.norm(dim=-1).numpy()
        for position, token in enumerate(ids):
            if token in special:
                specials += 1
                continue
            if masking.norm_limit is not None and lengths[position] > masking.norm_limit:
                outliers += 1
                continue
            document, place, found, dense = next(rows)
            assert (document, place, found) == (number, position, token)
            positive = expected[position][expected[position] > 0]
            edge = np.maximum(threshold, positive.min() if sae.cfg.architecture() == "topk" else 0)
            assert_same(dense, expected[position], edge.astype(np.float32))
            kept += 1
        if left is not None:
            left -= len(ids)
            if left == 0:
                break
    assert next(rows, None) is None
    assert (masking.kept, masking.norm_outliers, masking.special_tokens) == (kept, outliers, specials)
    assert capture.manifest.text.tokens == kept + outliers + specials
