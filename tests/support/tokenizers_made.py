"""Small Hugging Face tokenizers of every kind, made here, and texts of seven scripts to try them on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

# Latin, Cyrillic, Greek, Han, Arabic, Devanagari, Hangul: letters of two and three bytes; and four in the last.
SCRIPTS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGéèüßñ", "абвгдежзийклмнопрстуфхцчшщъыьэюя", "αβγδεζηθικλμνξοπρστυφχψω",
    "我喜欢稀疏自编码器的人是不了在有这个上们来到时", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي", "अआइईउऊएऐओऔकखगघचछजझटठडढणतथदधन",
    "가나다라마바사아자차카타파하🙂👍🎉",
)  # fmt: skip
BREAKS = (" ", " ", " ", " ", "  ", "    ", "\n", "\n\n", ", ", ". ", "! ", " - ", "\t", "'s ", " don't ")

UNK = "<unk>"


def documents(seed: int, many: int) -> list[str]:
    """Return random texts: words of one script each or mixed, with spaces, lines and punctuation between."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(many):
        parts = []
        for mixed in rng.random(rng.integers(1, 40)) < 0.2:
            letters = SCRIPTS[rng.integers(7) if mixed else number % 7]
            parts += [letters[k] for k in rng.integers(0, len(letters), rng.integers(1, 7))]
            parts.append(BREAKS[rng.integers(len(BREAKS))])
        found.append("".join(parts).strip())
    return found


def _trained(tokenizer: Tokenizer, trainer: Any) -> Tokenizer:
    tokenizer.train_from_iterator(documents(1, 140), trainer)
    return tokenizer


def byte_level(*, prefix_space: bool = False, split: bool = False) -> Tokenizer:
    """GPT-2's kind; with a prefix space RoBERTa's; with a split of its own Llama 3's and Qwen's."""
    made = Tokenizer(models.BPE())
    plain = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=not split)
    pattern = Regex(r"\p{L}+| ?[^\s\p{L}]+|\s+(?!\S)|\s+")
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, "isolated"), plain]) if split else plain
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(
        made,
        trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_fallback(*, prefix: bool) -> Tokenizer:
    """SentencePiece BPE as Llama 2 (a prefix space, and a decoder that strips it) or Gemma (neither) has it."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token=UNK, fuse_unk=True))
    spaces = normalizers.Replace(" ", "▁")
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    # One script alone has letters: the others are bytes.
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=[UNK, "<s>", "</s>", *BYTES], limit_alphabet=40, show_progress=False
    )
    made.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    _trained(made, trainer)
    made.pre_tokenizer = None
    # Bytes are tokens of the model and no special ones.
    state = json.loads(made.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in BYTES]
    made = Tokenizer.from_str(json.dumps(state))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return made


def unigram(scheme: str) -> Tokenizer:
    """SentencePiece Unigram behind Metaspace, as T5 and XLM-R have it."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    made.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return _trained(
        made,
        trainers.UnigramTrainer(vocab_size=500, special_tokens=[UNK, "</s>"], unk_token=UNK, show_progress=False),
    )


def word_piece(*, cleanup: bool = True) -> Tokenizer:
    """BERT's kind."""
    made = Tokenizer(models.WordPiece(unk_token=UNK))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(cleanup=cleanup)
    special = [UNK, "[CLS]", "[SEP]", "[MASK]"]
    return _trained(made, trainers.WordPieceTrainer(vocab_size=600, special_tokens=special, show_progress=False))


def word_ends() -> Tokenizer:
    """BPE that marks ends of words, as GPT-1 has it."""
    made = Tokenizer(models.BPE(unk_token=UNK, end_of_word_suffix="</w>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.BPEDecoder()
    return _trained(
        made,
        trainers.BpeTrainer(vocab_size=700, special_tokens=[UNK], end_of_word_suffix="</w>", show_progress=False),
    )


def words() -> Tokenizer:
    """Whole words, no decoder."""
    made = Tokenizer(models.WordLevel(unk_token=UNK))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return _trained(made, trainers.WordLevelTrainer(vocab_size=400, special_tokens=[UNK], show_progress=False))


def with_added() -> Tokenizer:
    """Byte-level, with added tokens of every sort: spaces, other scripts, stripping, one that looks like a byte."""
    made = byte_level()
    made.add_tokens(
        [
            AddedToken("    ", normalized=False),
            AddedToken("<|user|>", normalized=True),
            AddedToken("<mask>", lstrip=True),
            AddedToken("<fim>", rstrip=True),
            AddedToken("<0xE6>"),
            AddedToken("<｜begin▁of▁sentence｜>", special=True),
            AddedToken("Ġthe"),
            AddedToken("café"),
            AddedToken("\x1b[31m"),
        ]
    )
    return made


def gemma() -> Tokenizer:
    """As Gemma: no prefix space, and runs of spaces and lines that are tokens of the model and added ones at once."""
    state = json.loads(byte_fallback(prefix=False).to_str())
    vocab = state["model"]["vocab"]
    for content in ("▁▁", "▁▁▁▁", "\n\n", "<table>"):
        vocab.setdefault(content, len(vocab))
        token = {"id": vocab[content], "content": content, "single_word": False, "lstrip": False, "rstrip": False}
        state["added_tokens"].append({**token, "normalized": False, "special": False})
    return Tokenizer.from_str(json.dumps(state))


def with_holes() -> Tokenizer:
    """Byte-level, two of whose ids are far above the others: more ids than tokens."""
    state = json.loads(byte_level().to_str())
    vocab = state["model"]["vocab"]
    for piece, token in list(vocab.items()):
        if token >= len(vocab) - 2:
            vocab[piece] = token + 400
    return Tokenizer.from_str(json.dumps(state))


def sentence_piece(folder: Path) -> Path:
    """A model of SentencePiece itself, for tokenizers that are not fast; the file."""
    import sentencepiece

    lines = iter([text.replace("\n", " ") for text in documents(1, 140)])
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_prefix=str(folder / "small"), vocab_size=600, model_type="unigram"
    )
    return folder / "small.model"


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": byte_level,
    "byte-level, prefix space": lambda: byte_level(prefix_space=True),
    "byte-level, own split": lambda: byte_level(split=True),
    "byte-level, added tokens": with_added,
    "byte-level, holes": with_holes,
    "byte fallback, prefix space": lambda: byte_fallback(prefix=True),
    "byte fallback": lambda: byte_fallback(prefix=False),
    "gemma": gemma,
    "metaspace always": lambda: unigram("always"),
    "metaspace first": lambda: unigram("first"),
    "metaspace never": lambda: unigram("never"),
    "word piece": word_piece,
    "word piece, no cleanup": lambda: word_piece(cleanup=False),
    "ends of words": word_ends,
    "words": words,
}
