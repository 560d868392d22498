"""The text of every token: exact for every kind of tokenizer, and no two tokens shown alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from cofire.common.quiet import quiet
from cofire.ingest.capture_dir.token_bytes import TokenBytes, TokenText
from cofire.ingest.capturing.token_texts import token_texts
from tokenizers_made import KINDS, byte_level, documents, sentence_piece, word_piece

DOCUMENTS = documents(2, 200)
UNK = "[UNK]"
SPACED = ("word piece", "word piece, no cleanup", "words")


def fast(made: Tokenizer, **options: Any) -> Any:
    with quiet():
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast(tokenizer_object=made, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, smollm2_dir: Path) -> dict[str, tuple[Any, dict[int, TokenText]]]:
    """Every kind of tokenizer, and the texts of its tokens."""
    with quiet():
        from transformers import AutoTokenizer, BertGenerationTokenizer

        tokenizers = {name: fast(make()) for name, make in KINDS.items()}
        tokenizers["SmolLM2"] = AutoTokenizer.from_pretrained(smollm2_dir)
        tokenizers["not fast"] = BertGenerationTokenizer(str(sentence_piece(tmp_path_factory.mktemp("sentencepiece"))))
        return {name: (tokenizer, token_texts(tokenizer)) for name, tokenizer in tokenizers.items()}


@pytest.fixture(params=[*KINDS, "SmolLM2", "not fast"])
def kind(request: pytest.FixtureRequest, made: dict[str, tuple[Any, dict[int, TokenText]]]) -> tuple[str, Any, Any]:
    return (request.param, *made[request.param])


def decoded(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def ids_of(tokenizer: Any, text: str) -> list[int]:
    with quiet():
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def bytes_of(texts: dict[int, TokenText]) -> TokenBytes:
    first = {token: one.first for token, one in texts.items() if one.first is not None}
    return TokenBytes({token: one.added for token, one in texts.items() if one.added is not None}, first)


def test_the_bytes_of_tokens_join_to_the_decoded_text(kind):
    name, tokenizer, texts = kind
    parts = 0
    for document in DOCUMENTS:
        ids = ids_of(tokenizer, document)
        joined = b"".join(texts[token].added for token in ids).decode()
        if name == "ends of words":  # the last word has no space behind it
            joined = joined.removesuffix(" ")
        assert joined in (wanted := decoded(tokenizer, ids), f" {wanted}")
        parts += sum("\ufffd" in decoded(tokenizer, [token]) for token in ids[:20])
    # Characters are in parts where they can be.
    assert (parts > 0) == (("byte" in name and name != "byte-level, own split") or name in ("gemma", "SmolLM2"))


def test_no_two_tokens_are_shown_alike(kind):
    _, tokenizer, texts = kind
    assert set(texts) == set(range(max(len(tokenizer), 1 + max(tokenizer.get_vocab().values()))))
    assert Counter(one.text for one in texts.values()).most_common(1)[0][1] == 1
    assert all(one.text for one in texts.values())
    for token in tokenizer.all_special_ids:
        assert texts[token].text == tokenizer.convert_ids_to_tokens(token)


def test_a_context_is_what_its_tokens_are_decoded_to(kind):
    name, tokenizer, texts = kind
    added, rng = bytes_of(texts), np.random.default_rng(3)
    for document in DOCUMENTS:
        ids = ids_of(tokenizer, document)
        at = int(rng.integers(len(ids)))
        start, stop = max(0, at - 12), at + 13
        before, token, after = added.around(ids[start:stop], at - start)
        assert token
        found, wanted = before + token + after, decoded(tokenizer, ids[start:stop])
        if name in ("ends of words", "not fast"):  # decoded, a text has no space at its end
            found, wanted = found.rstrip(" "), wanted.rstrip(" ")
        joined = b"".join(added.of(ids[start:stop]))
        if name in SPACED:
            assert found == wanted
        elif "\ufffd" not in joined.decode(errors="replace"):
            assert found in (wanted, f" {wanted}")
        else:  # parts of characters at the edges
            assert found in f" {decoded(tokenizer, ids)}"
            assert len(joined) - 6 <= len(found.encode()) < len(joined)


def test_spaces_parts_of_characters_and_pieces_are_shown(made):
    def shown(name: str, *pieces: str) -> list[str]:
        tokenizer, texts = made[name]
        return [texts[tokenizer.convert_tokens_to_ids(piece)].text for piece in pieces]

    assert shown("SmolLM2", "Ġthe", "the", "¢", "Â¢", "Ċ", "æĪ", "ï¿½") == [
        " the", "the", "<0xA2>", "¢", "\n", "<0xE6><0x88>", "<0xEF><0xBF><0xBD>",
    ]  # fmt: skip
    assert shown("byte fallback, prefix space", "▁", "d", "<0x0A>", "<0xE6>", "<s>") == [
        " ", "d", "<0x0A>", "<0xE6>", "<s>",
    ]  # fmt: skip
    assert shown("gemma", "▁▁", "\n\n", "<table>") == ["  ", "\n\n", "<table>"]
    assert shown("metaspace first", "▁", "</s>") == [" ", "</s>"]
    tokenizer, texts = made["word piece"]
    by_text = {one.text: one for one in texts.values()}
    assert {text: by_text[text].added for text in ("##a", "a", ",", "[MASK]")} == {
        "##a": b"a", "a": b" a", ",": b",", "[MASK]": b" [MASK]",
    }  # fmt: skip
    assert all(by_text[piece].first == piece.encode() for piece in tokenizer.get_vocab())
    tokenizer, texts = made["ends of words"]
    assert shown("ends of words", "t</w>", "t", "<unk>") == ["t ", "t", "<unk>"]


def test_added_tokens_stand_for_their_content(made):
    tokenizer, texts = made["byte-level, added tokens"]
    added = sorted(tokenizer.added_tokens_decoder)
    for token in added:
        assert texts[token].added == tokenizer.added_tokens_decoder[token].content.encode()
    # A byte of the model is shown so; the one that was added bears its id.
    assert [texts[token].text for token in added[2:]] == [
        "    ", "<|user|>", "<mask>", "<fim>", f"<0xE6>[{added[6]}]",
        "<｜begin▁of▁sentence｜>", "Ġthe", "café", "\x1b[31m",
    ]  # fmt: skip
    text = "un café    et <mask>"
    assert b"".join(texts[token].added for token in ids_of(tokenizer, text)).decode() == "un café    et<mask>"


def test_an_id_without_a_token_is_shown_as_its_id(made):
    tokenizer, texts = made["byte-level, holes"]
    assert len(texts) == len(tokenizer) + 400
    assert texts[600] == TokenText("[600]", b"[600]")
    assert tokenizer.convert_ids_to_tokens(899) is not None
    assert texts[899].text.strip()


def test_a_text_that_another_token_has_is_followed_by_the_id():
    vocabulary = {"a": 0, "▁a": 1, "b": 2, " a": 3, " a[3]": 4, "": 5, "[5]": 6, "[UNK]": 7}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    tokenizer.decoder = decoders.Replace("▁", " ")
    found = token_texts(fast(tokenizer))
    assert {token: one.text for token, one in found.items()} == {
        0: "a", 1: " a", 2: "b", 3: " a[3][3]", 4: " a[3]", 5: "[5][5]", 6: "[5]", 7: "[UNK]",
    }  # fmt: skip
    assert [found[token].added for token in (1, 3, 5)] == [b" a", b" a", b""]


def test_decoding_that_is_not_token_by_token_leaves_the_pieces():
    tokenizer = byte_level()
    steps = [decoders.Replace("Ġ", " "), decoders.Fuse(), decoders.Replace(Regex(" +"), " ")]
    tokenizer.decoder = decoders.Sequence(steps)
    found = token_texts(made := fast(tokenizer))
    assert {one.text for one in found.values()} == set(made.get_vocab())
    assert all(one.added == one.text.encode() for one in found.values())


def test_a_decode_of_the_tokenizer_s_own_is_asked():
    """As CLIP's: ends of words are spaces, which its decoder does not know."""
    made = Tokenizer(models.BPE({"a": 0, "b": 1, "æ": 2, "Ī</w>": 3, "a</w>": 4, "the</w>": 5, "z": 6}, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = fast(made)
    original = tokenizer.decode
    tokenizer.decode = lambda ids, **options: original(ids, **options).replace("</w>", " ").strip()
    found = token_texts(tokenizer)
    assert [found[token].added for token in range(6)] == [b"a", b"b", b"\xe6", b"\x88 ", b"a ", b"the "]
    assert found[3].text == "<0x88><0x20>"


def test_a_tokenizer_that_does_not_name_all_of_its_tokens(made, monkeypatch):
    """As mistral_common's: its added tokens are asked for in vain, and its vocabulary lacks parts of characters."""

    def refuses(_: Any) -> Any:
        raise NotImplementedError

    tokenizer, texts = made["not fast"]
    vocabulary = tokenizer.get_vocab()
    (unnamed,) = {token for token in ids_of(tokenizer, "1") if texts[token].text == "<unk>"}
    monkeypatch.setattr(type(tokenizer), "added_tokens_decoder", property(refuses))
    assert token_texts(tokenizer) == texts
    named = {piece: token for piece, token in vocabulary.items() if token != unnamed}
    monkeypatch.setattr(type(tokenizer), "get_vocab", lambda _: named)
    found = token_texts(tokenizer)
    assert found[unnamed].text == f"[{unnamed}]"
    assert {found[token].text for token in found if token != unnamed} == set(vocabulary) - {"<unk>"}


def test_clean_up_is_not_part_of_a_text():
    texts = token_texts(tokenizer := fast(word_piece(cleanup=False), clean_up_tokenization_spaces=True))
    ids = ids_of(tokenizer, "don't, ab.")
    assert b"".join(texts[token].added for token in ids).decode() == " don ' t , ab ."
    assert bytes_of(texts).around(ids, 1) == ("don", " '", " t , ab .")


def test_texts_are_read_together(smollm2_dir, made):
    tokenizer, _ = made["SmolLM2"]
    calls = []
    original = type(tokenizer).decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(tokenizer), "decode", lambda *a, **k: calls.append(1) or original(*a, **k))
        assert len(token_texts(tokenizer)) == 49152
    assert 0 < len(calls) < 200


E6, BF, BD = b"\xe6\x88\x91"[:1], b"\xe6\x88\x91"[1:2], b"\xe6\x88\x91"[2:]
PIECES = dict(enumerate([b" the", E6, BF, BD, b" \xe6", b"", b"\xff", "é".encode(), b"b\xe6"]))


@pytest.mark.parametrize(
    ("tokens", "at", "wanted"),
    [
        ([0, 1, 2, 3, 7], 0, ("", " the", "我é")),
        # The mark goes around the whole character, whichever part of it is meant.
        ([0, 1, 2, 3, 7], 1, (" the", "我", "é")),
        ([0, 1, 2, 3, 7], 2, (" the", "我", "é")),
        ([0, 1, 2, 3, 7], 3, (" the", "我", "é")),
        ([0, 4, 2, 3, 7], 1, (" the", " 我", "é")),
        ([0, 4, 2, 3, 7], 2, (" the ", "我", "é")),
        ([8, 2, 3], 2, ("b", "我", "")),
        # Parts of a character at the outer edges are dropped, other than the token itself.
        ([2, 3, 0, 1, 2], 2, ("", " the", "")),
        ([2, 3, 0, 7, 1, 2], 3, (" the", "é", "")),
        ([0, 1], 1, (" the", "\ufffd", "")),
        ([3, 0], 0, ("", "\ufffd", " the")),
        # What is no UTF-8 inside stays visible, and does not move the mark.
        ([7, 3, 0, 7], 0, ("", "é", "\ufffd theé")),
        ([7, 6, 0, 7], 2, ("é\ufffd", " the", "é")),
        ([7, 6, 0], 1, ("é", "\ufffd", " the")),
        ([7, 1, 5, 0], 2, ("é\ufffd", "", " the")),
        ([7, 99, 0], 1, ("é", "[99]", " the")),
    ],
)
def test_a_token_in_its_text(tokens: list[int], at: int, wanted: tuple[str, str, str]) -> None:
    assert TokenBytes(PIECES).around(tokens, at) == wanted
