"""Language models of random weights and SAEs for them, small enough to be made and run in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cofire.common.quiet import quiet

WIDTH, POSITIONS, BYTES = 16, 64, 256
SPECIAL = ["<s>", "</s>", "<pad>"]
VOCABULARY = BYTES + len(SPECIAL)
HOOK = "blocks.1.hook_resid_post"
SAE_WIDTH = 32

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": POSITIONS,
    # With the usual 0.02 attention to the other tokens would hardly show.
    "initializer_range": 0.5,
}


def _seq2seq(d_ff: dict[str, int]) -> dict[str, Any]:
    return {"vocab_size": VOCABULARY, "d_model": WIDTH, "decoder_start_token_id": 0} | d_ff


# name -> (class of the model, class of its configuration, its settings)
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {"vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS},
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", _COMMON | {"num_key_value_heads": 1}),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", _COMMON | {"num_key_value_heads": 1}),
    "longrope": (
        "LlamaForCausalLM",
        "LlamaConfig",
        _COMMON
        | {"num_key_value_heads": 1, "max_position_embeddings": 4096}
        | {
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "factor": 4.0,
                "short_factor": [1.0] * 4,
                "long_factor": [8.0] * 4,
                "original_max_position_embeddings": 1040,
            }
        },
    ),
    "bloom": (
        "BloomForCausalLM",
        "BloomConfig",
        {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "n_layer": 2, "n_head": 2},
    ),
    "bert": ("BertForMaskedLM", "BertConfig", _COMMON),
    "bart": (
        "BartForConditionalGeneration",
        "BartConfig",
        _seq2seq({"encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32})
        | {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": POSITIONS}
        | {"init_std": 0.5},
    ),
    "t5": (
        "T5ForConditionalGeneration",
        "T5Config",
        _seq2seq({"d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}),
    ),
}


def save_tokenizer(place: Path, bos: str | None = "<s>", eos: str | None = "</s>", added: tuple[str, ...] = ()) -> None:
    """One token a byte, then `SPECIAL`; `added` are tokens that no model here knows."""
    with quiet():
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    every = [*letters, *SPECIAL]
    tokenizer = Tokenizer(models.BPE(vocab={name: number for number, name in enumerate(every)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    with quiet():
        special = dict(zip(("bos_token", "eos_token", "pad_token"), (bos, eos, SPECIAL[2]), strict=True))
        whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
        whole.add_tokens(list(added), special_tokens=True)
        whole.save_pretrained(place)


def save_model(place: Path, kind: str = "gpt2", **tokenizer: Any) -> Path:
    """A model of one of KINDS with its tokenizer, as transformers saves them."""
    with quiet():
        import torch
        import transformers

        model, configuration, settings = KINDS[kind]
        torch.manual_seed(1)
        getattr(transformers, model)(getattr(transformers, configuration)(**settings)).save_pretrained(place)
    save_tokenizer(place, **tokenizer)
    return place


def save_sae(place: Path, hook: str = HOOK, *, seed: int = 0, width: int = SAE_WIDTH, **metadata: Any) -> Path:
    """A standard SAE of random weights, half of whose latents fire, as sae-lens saves it."""
    with quiet():
        import torch
        from sae_lens import SAE

        torch.manual_seed(seed)
        settings = {
            "architecture": "standard",
            "d_in": WIDTH,
            "d_sae": width,
            "metadata": {"hook_name": hook, "prepend_bos": False, "context_size": 24} | metadata,
        }
        sae: Any = SAE.from_dict(settings)
        sae.W_enc.data = torch.randn_like(sae.W_enc)
        sae.W_dec.data = torch.nn.functional.normalize(torch.randn_like(sae.W_dec), dim=-1)
        sae.save_model(place)
    return place
