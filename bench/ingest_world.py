"""The worlds of bench/ingest.py: the demo's, and random ones in the shape of Gemma-2-2b."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import NamedTuple

import numpy as np
from machine import ROOT

from cofire.common.arrays import Ints
from cofire.common.quiet import quiet
from cofire.ingest.capturing.model import LanguageModel, find_model, load_model
from cofire.ingest.capturing.saes import LoadedSae, find_sae, load_sae

DEMO_TEXT = ROOT / "examples" / "smollm2" / "austen.jsonl.gz"
DEMO_MODEL = ROOT / ".cache" / "smollm2-135m-instruct"
DEMO_SAES = [ROOT / "examples" / "smollm2" / layer for layer in ("layer_12", "layer_18")]


class World(NamedTuple):
    """What is ingested, with what; model and SAEs are loaded once."""

    name: str
    model: LanguageModel
    place: str
    saes: list[LoadedSae]
    specs: list[str]
    text: Path
    tokens: int
    batch: int
    dtype: str
    residuals: float | None


CALIBRATION = 4_096
"""Tokens of the text on which the thresholds of random SAEs are set."""


@dataclass
class Span:
    """Wall and CPU seconds; `cpu` of all threads of this process."""

    wall: float = 0.0
    cpu: float = 0.0

    @classmethod
    def now(cls) -> Span:
        """Return both clocks."""
        return cls(time.perf_counter(), time.process_time())

    def since(self) -> Span:
        """Return how long ago this is."""
        now = Span.now()
        now.add(self, -1)
        return now

    def add(self, other: Span, sign: int = 1) -> None:
        """Add `other`, or take it away."""
        self.wall += sign * other.wall
        self.cpu += sign * other.cpu


class Shape(NamedTuple):
    """Of a model with random weights and its SAEs."""

    d_model: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocabulary: int
    context: int
    layer: int
    widths: list[int]
    l0: int
    tokens: int
    device: str
    dtype: str


GEMMA = Shape(
    2304, 26, 8, 4, 256, 9216, 256_000, 1024, 12, [16_384, 65_536, 131_072], 80, 1_000_000, "cuda", "bfloat16"
)
TINY = Shape(64, 4, 4, 2, 16, 128, 2_000, 64, 2, [256, 512, 1_024], 8, 20_000, "cpu", "float32")


def random_model(shape: Shape, folder: Path) -> None:
    """Write a Gemma 2 of random weights, and a BPE of its vocabulary's size, as Hugging Face does."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedTokenizerFast

    config = Gemma2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.d_model,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        query_pre_attn_scalar=shape.head_dim,
        dtype=shape.dtype,
    )
    torch.manual_seed(0)
    with torch.device(shape.device):
        model = Gemma2ForCausalLM(config).to(getattr(torch, shape.dtype))
    with quiet():
        model.save_pretrained(folder)
    # Pairs of letters, then a pair and a letter, then two pairs, until the vocabulary is full.
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    pairs = list(map("".join, product(ascii_lowercase, ascii_lowercase)))
    merges = [
        *product(ascii_lowercase, ascii_lowercase),
        *product(pairs, ascii_lowercase),
        *product(pairs, pairs),
    ]
    merges = merges[: shape.vocabulary - len(special) - len(ascii_lowercase)]
    pieces = [*special, *ascii_lowercase, *("".join(two) for two in merges)]
    bpe = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, merges, unk_token=special[3]))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    names = dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=bpe, **names).save_pretrained(folder)


def random_text(path: Path, tokens: int) -> None:
    """Write documents of 1,500 words, `tokens` tokens or more: 50,000 words of 3 to 7 letters, by Zipf's law."""
    draw = np.random.default_rng(0)
    letters = np.array(list(ascii_lowercase))
    words = np.array(["".join(draw.choice(letters, size)) for size in draw.integers(3, 8, 50_000)])
    share = 1 / (np.arange(len(words)) + 10)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(tokens // 1_500 + 1):
            said = " ".join(draw.choice(words, 1_500, p=share / share.sum()))
            file.write(json.dumps({"text": said}) + "\n")


def random_sae(shape: Shape, width: int, folder: Path, model: LanguageModel, sample: Ints) -> None:
    """Write a JumpReLU SAE of random directions that has the shape's L0 on the tokens `sample`, int64 [B, n]."""
    import torch
    from safetensors.torch import save_file

    hook = f"blocks.{shape.layer}.hook_resid_post"
    x = model.run(sample, [hook])[hook][:, 1:].flatten(0, 1).float()
    torch.manual_seed(width)
    w_dec = torch.nn.functional.normalize(torch.randn(width, shape.d_model, device=x.device), dim=1)
    h = x @ w_dec.T
    mean, deviation = h.mean(0), h.std(0)
    h = (h - mean) / deviation
    low, high = 0.0, float(h.max())
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if (h > middle).sum() > shape.l0 * len(h) else (low, middle)
    tensors = {
        "W_enc": w_dec.T,
        "W_dec": w_dec,
        "b_enc": -mean,
        "b_dec": torch.zeros(shape.d_model),
        "threshold": low * deviation,
    }
    folder.mkdir()
    # sae-lens names it so.
    save_file({name: one.cpu().contiguous() for name, one in tensors.items()}, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu",
        "d_in": shape.d_model,
        "d_sae": width,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": version("sae-lens"),
            "release": "random",
            "sae_id": f"layer_{shape.layer}/width_{width}",
            "hook_name": hook,
            "context_size": shape.context,
            "prepend_bos": True,
        },
    }
    (folder / "cfg.json").write_text(json.dumps(config))


class Loading:
    """Loads models and SAEs, and keeps how long that took."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Span]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        begun = Span.now()
        yield
        self.rows.append((name, begun.since()))

    def of(self, world: World) -> list[tuple[str, Span]]:
        """Return what a world took, whose SAEs were loaded last."""
        return self.rows[:2] + self.rows[-len(world.saes) :]

    def libraries(self) -> None:
        """Import what the model and the SAEs need."""
        with self.part("import torch, transformers, transformer-lens, sae-lens"), quiet():
            for name in ("torch", "transformers", "transformer_lens.model_bridge", "sae_lens"):
                import_module(name)

    def model(self, place: Path, device: str, dtype: str) -> LanguageModel:
        """Load a model."""
        with self.part("load the model"):
            return load_model(place, find_model(place), device=device, dtype=dtype)

    def sae(self, place: Path, device: str) -> LoadedSae:
        """Load an SAE."""
        with self.part(f"load the SAE {place.name}"):
            return load_sae(find_sae(str(place)), device)


def demo_world(loading: Loading, tokens: int | None, batch: int | None, residuals: float | None) -> Iterator[World]:
    """Yield the demo's world."""
    model = loading.model(DEMO_MODEL, "cpu", "float32")
    saes = [loading.sae(place, "cpu") for place in DEMO_SAES]
    specs = [str(place) for place in DEMO_SAES]
    yield World(
        "SmolLM2", model, str(DEMO_MODEL), saes, specs, DEMO_TEXT, tokens or 60_000, batch or 8, "float32", residuals
    )


def random_worlds(
    loading: Loading,
    shape: Shape,
    tokens: int | None,
    batch: int | None,
    residuals: float | None,
    folder: Path,
) -> Iterator[World]:
    """Yield a world for each width, with one model."""
    place, text, tokens = folder / "model", folder / "text.jsonl", tokens or shape.tokens
    random_model(shape, place)
    random_text(text, max(tokens, CALIBRATION))
    model = loading.model(place, shape.device, shape.dtype)
    with text.open(encoding="utf-8") as file:
        said = [json.loads(line)["text"] for line, _ in zip(file, range(CALIBRATION // 1_500 + 1), strict=False)]
    flat = np.concatenate([np.array(ids) for ids in model.tokenise(said)])
    sample = flat[: CALIBRATION // shape.context * shape.context].reshape(-1, shape.context)
    sample[:, 0] = model.bos
    for width in shape.widths:
        at = folder / f"sae-{width}"
        random_sae(shape, width, at, model, sample)
        sae = loading.sae(at, shape.device)
        name = f"random {width}"
        yield World(name, model, str(place), [sae], [str(at)], text, tokens, batch or 16, shape.dtype, residuals)
