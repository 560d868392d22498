"""Capture on models of many kinds, of random weights: what a token's activation depends on, and what does not fit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cofire.common.quiet import quiet
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture import capture
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.manifest import Manifest, ModelInfo
from cofire.ingest.capturing.checks import same_model
from cofire.ingest.capturing.model import find_model, load_model
from differing import differing, files_of
from reference import load_sae, rows_of
from tiny_models import HOOK, VOCABULARY, save_model, save_sae

# Windows of 24, 24 and 8, of 24 and 13, and of 3, 24, 1 and 9 tokens.
TEXTS = ["It is a truth universally acknowledged, that a single man", "in possession of a good fortune, must", "be.",
         "However little known the", "!", "feelings "]  # fmt: skip
RUN: dict[str, Any] = {"device": "cpu", "norm_factor": None, "mask_special": False}

# Activations are up to 50.
ROUNDING = 1e-4
Activations = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of each kind is made in here when it is first asked for."""
    return tmp_path_factory.mktemp("models")


def model_of(models: Path, kind: str) -> Path:
    return models / kind if (models / kind).is_dir() else save_model(models / kind, kind)


@pytest.fixture(scope="module")
def text(models: Path) -> Path:
    path = models / "text.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def activations_of(one: CaptureDir) -> Activations:
    """The activations, float32 [T, N], in the order of the text."""
    return np.stack([dense for *_, dense in rows_of(one)])


def alone(model: Path, sae: Path, hook: str, front: list[int] | None = None) -> Activations:
    """The same, of one window at a time, `front` before each."""
    language, context, lead = load_model(model, find_model(model)), 24 - len(front or []), len(front or [])
    found = []
    for ids in language.tokenise(TEXTS):
        for start in range(0, len(ids), context):
            window = np.array([[*(front or []), *ids[start : start + context]]], np.int64)
            read = language.run(window, [hook])[hook][0, lead:]
            found.append(load_sae(sae).encode(read).detach().numpy())
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("kind", "hook", "ahead"),
    [
        ("gpt2", HOOK, False),  # learned positions
        ("llama", HOOK, False),  # rotary positions
        ("qwen2", HOOK, False),
        ("bloom", HOOK, False),  # positions by distance
        ("bert", HOOK, True),
        ("bert", "blocks.0.hook_in", False),  # nothing has looked at the other tokens yet
        ("bart", "encoder_blocks.1.hook_out", True),
        ("bart", "decoder_blocks.1.hook_out", True),  # it reads what the encoder made of the whole window
    ],
)
def test_a_token_s_activation_does_not_depend_on_its_batch(
    models: Path, text: Path, tmp_path: Path, kind: str, hook: str, ahead: bool
) -> None:
    model = model_of(models, kind)
    sae = save_sae(tmp_path / "sae", hook)
    one, eight = (capture(model, [str(sae)], text, tmp_path / str(b), batch=b, **RUN)[0] for b in (1, 8))
    expected = alone(model, sae, hook)
    assert (expected > 0.01).sum() > 500
    np.testing.assert_allclose(activations_of(one), expected, rtol=1e-5, atol=ROUNDING)
    np.testing.assert_allclose(activations_of(eight), expected, rtol=1e-5, atol=ROUNDING)
    # It is looked at only where windows could be padded, and recorded.
    assert [c.manifest.model.looks_ahead for c in (one, eight) if c.manifest.model] == [None, ahead]


def test_positions_that_depend_on_a_row_s_length_are_seen(models: Path, tmp_path: Path) -> None:
    """Models of a long context scale their positions in a row longer than the first training had, as Phi-3 does."""
    text = tmp_path / "long.jsonl"
    text.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("ab, c " * 190, *TEXTS)))
    model, sae = model_of(models, "longrope"), save_sae(tmp_path / "sae")
    run = RUN | {"context": 1200}
    one, eight = (capture(model, [str(sae)], text, tmp_path / str(b), batch=b, **run)[0] for b in (1, 8))
    np.testing.assert_allclose(activations_of(eight), activations_of(one), rtol=1e-5, atol=ROUNDING)
    assert eight.manifest.model is not None
    assert eight.manifest.model.looks_ahead


def test_padding_would_have_changed_what_looks_ahead(models: Path) -> None:
    """Else the test above tells nothing."""
    model = model_of(models, "bert")
    language = load_model(model, find_model(model))
    ids = np.full((1, 24), 70, np.int64)
    short, padded = ids[:, :3], np.where(np.arange(24) < 3, ids, 0)
    one, other = (language.run(rows, [HOOK])[HOOK][0, :3].numpy() for rows in (short, padded))
    assert float(np.abs(one - other).max()) > 0.01


def test_an_interrupted_capture_of_what_looks_ahead_goes_on_unless_it_was_padded(
    models: Path, text: Path, tmp_path: Path
) -> None:
    model, sae = model_of(models, "bert"), save_sae(tmp_path / "sae")
    run = RUN | {"batch": 2, "shard_tokens": 48}
    whole, out = tmp_path / "whole", tmp_path / "out"
    capture(model, [str(sae)], text, whole, **run)
    with pytest.raises(KeyboardInterrupt):
        capture(model, [str(sae)], text, out, **run, progress=Stop(3))
    kept = (out / "text.parquet").read_bytes()
    for damaged in (b"", kept[:-5]):
        (out / "text.parquet").write_bytes(damaged)
        with pytest.raises(CaptureError, match=r"text\.parquet cannot be read .*; make it again: .*--force deletes"):
            capture(model, [str(sae)], text, out, **run)
    (out / "text.parquet").write_bytes(kept)
    assert 0 < Manifest.read(out).done < Manifest.read(whole).done
    shutil.copytree(out, tmp_path / "earlier")
    capture(model, [str(sae)], text, out, **run)
    assert differing(files_of(out), files_of(whole)) == []
    forget(tmp_path / "earlier")
    why = rf"padded windows, but in bert at {HOOK} what stands behind a token changes .* another --out; --force deletes"
    with pytest.raises(CaptureError, match=why):
        capture(model, [str(sae)], text, tmp_path / "earlier", **run)


class Stop:
    def __init__(self, after: int) -> None:
        self.left = after

    def start(self, total: int) -> None: ...

    def advance(self, tokens: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def forget(out: Path) -> None:
    """Make of a capture that was begun one of a cofire that did not look whether the model looks ahead."""
    manifest = Manifest.read(out)
    assert manifest.model is not None
    assert manifest.done
    manifest.model.looks_ahead = None
    manifest.write(out)


def test_an_interrupted_capture_of_an_earlier_cofire_goes_on(models: Path, text: Path, tmp_path: Path) -> None:
    model, sae = model_of(models, "gpt2"), save_sae(tmp_path / "sae")
    run = RUN | {"batch": 2, "shard_tokens": 48}
    capture(model, [str(sae)], text, tmp_path / "whole", **run)
    with pytest.raises(KeyboardInterrupt):
        capture(model, [str(sae)], text, tmp_path / "out", **run, progress=Stop(3))
    forget(tmp_path / "out")
    capture(model, [str(sae)], text, tmp_path / "out", **run)
    assert differing(files_of(tmp_path / "out"), files_of(tmp_path / "whole")) == []


def test_padding_is_wrong_for_the_hook_points_that_look_ahead_alone(models: Path, text: Path, tmp_path: Path) -> None:
    model = model_of(models, "bert")
    hooks = {"before": "blocks.0.hook_in", "behind": HOOK}
    saes = [f"r:{name}={save_sae(tmp_path / name, hook)}" for name, hook in hooks.items()]
    run = RUN | {"batch": 2, "shard_tokens": 48}
    capture(model, saes, text, tmp_path / "whole", **run)
    with pytest.raises(KeyboardInterrupt):
        capture(model, saes, text, tmp_path / "out", **run, progress=Stop(3))
    forget(tmp_path / "out" / "r__before")
    shutil.rmtree(tmp_path / "out" / "r__behind")
    capture(model, saes, text, tmp_path / "out", **run)
    assert differing(files_of(tmp_path / "out"), files_of(tmp_path / "whole")) == []


def test_models_that_cannot_be_run_give_one_line(models: Path, text: Path, tmp_path: Path) -> None:
    mute = tmp_path / "mute"
    shutil.copytree(model_of(models, "gpt2"), mute)
    for path in mute.glob("token*"):
        path.unlink()
    quantised = tmp_path / "quantised"
    shutil.copytree(model_of(models, "gpt2"), quantised)
    config = json.loads((quantised / "config.json").read_text())
    # A package that no installation of cofire has.
    (quantised / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "hqq"}}))
    for model, hook, message in [
        (quantised, HOOK, r"cannot load the model .*quantised: .*HQQ.*; see to that, or give another model$"),
        (model_of(models, "t5"), "encoder_blocks.1.hook_out", "cannot run the model t5 up to encoder_blocks"),
        (mute, HOOK, "the model .*mute has no tokenizer"),
    ]:
        with pytest.raises(InputError, match=message):
            capture(model, [str(save_sae(tmp_path / "sae", hook))], text, tmp_path / "out", **RUN)
        assert not (tmp_path / "out").exists()


DAMAGED: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("model.safetensors", lambda data: data[: len(data) // 2], "cannot load the model .*: .*; check the directory"),
    ("model.safetensors", lambda data: b"version https://git-lfs.github.com/spec/v1\n", "cannot load the model"),
    ("config.json", lambda data: data.replace(b'"n_inner": null', b'"n_inner": 1e400'), "cannot load the model"),
    ("config.json", lambda data: data.decode().encode("utf-16"), "cannot load the model"),
    ("tokenizer.json", lambda data: data[: len(data) // 2], "cannot load the model"),
    ("tokenizer.json", lambda data: data.replace(b'"type": "BPE"', b'"type": "XXX"'), "cannot load the model"),
    ("tokenizer.json", lambda data: re.sub(rb'"z": \d+', b'"z": 2147483648', data), "has a token of id 2,147,483,648"),
]


def test_damaged_files_of_a_model_give_one_line(models: Path, text: Path, tmp_path: Path) -> None:
    """What a broken download leaves, and numbers that nobody meant."""
    good, sae = model_of(models, "gpt2"), save_sae(tmp_path / "sae")
    for number, (name, damage, message) in enumerate(DAMAGED):
        model = Path(shutil.copytree(good, tmp_path / str(number)))
        data = (model / name).read_bytes()
        (model / name).write_bytes(damage(data))
        assert (model / name).read_bytes() != data, f"{name} is not damaged"
        with pytest.raises(InputError, match=message) as caught:
            capture(model, [str(sae)], text, tmp_path / "out", **RUN)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_eos_stands_where_a_tokenizer_has_no_bos(models: Path, text: Path, tmp_path: Path) -> None:
    sae = save_sae(tmp_path / "sae", prepend_bos=True)
    model = save_model(tmp_path / "qwenish", bos=None)
    eos = VOCABULARY - 2
    said: list[str] = []
    (one,) = capture(model, [str(sae)], text, tmp_path / "out", **RUN, notice=said.append)
    words = f"'</s>' (id {eos}, EOS in the place of BOS)"
    assert said == [f"note: the tokenizer of qwenish has no BOS: windows begin with {words}, as in TransformerLens"]
    assert one.manifest.masking.rule.startswith(f"left out: inserted {words}")
    np.testing.assert_allclose(activations_of(one), alone(model, sae, HOOK, [eos]), rtol=1e-5, atol=ROUNDING)
    # TransformerLens' own tokenizer, by which the SAEs were trained, has the same.
    assert load_model(model, find_model(model)).bridge.tokenizer.bos_token_id == eos
    said.clear()
    (plain,) = capture(model_of(models, "gpt2"), [str(sae)], text, tmp_path / "bos", **RUN, notice=said.append)
    assert (said, plain.manifest.masking.rule) == ([], "left out: inserted BOS")
    neither = save_model(tmp_path / "neither", bos=None, eos=None)
    with pytest.raises(InputError, match="the tokenizer of neither has neither BOS nor EOS"):
        capture(neither, [str(sae)], text, tmp_path / "none", **RUN)
    assert not (tmp_path / "none").exists()


def test_a_token_beyond_the_embedding_is_named(tmp_path: Path) -> None:
    model = save_model(tmp_path / "chat", bos="<|new|>", added=("<|user|>",))
    sae = save_sae(tmp_path / "sae")
    (tmp_path / "t.jsonl").write_text('{"text": "hello"}\n{"text": "hi <|user|> how"}\n')
    new, user = VOCABULARY, VOCABULARY + 1
    with pytest.raises(InputError, match=rf"token {user} \('<\|user\|>'\) .* beyond the {VOCABULARY} .*document 1"):
        capture(model, [str(sae)], tmp_path / "t.jsonl", tmp_path / "out", **RUN)
    bos = save_sae(tmp_path / "bos", prepend_bos=True)
    with pytest.raises(InputError, match=rf"token {new} \('<\|new\|>'\) .*in front of each window"):
        capture(model, [str(bos)], tmp_path / "t.jsonl", tmp_path / "out", **RUN, tokens=5)
    assert not (tmp_path / "out").exists()
    # What is behind the last token that is read does not matter.
    (one,) = capture(model, [str(sae)], tmp_path / "t.jsonl", tmp_path / "out", **RUN, tokens=8)
    assert one.manifest.rows == 8


def test_an_sae_of_another_model_is_noticed(models: Path, text: Path, tmp_path: Path) -> None:
    said: list[str] = []
    sae = save_sae(tmp_path / "sae", model_name="pythia-70m-deduped\ud83d", more={"k\udc00": ["\ud83d"]})
    (one,) = capture(model_of(models, "gpt2"), [str(sae)], text, tmp_path / "out", **RUN, notice=said.append)
    assert said == [
        (
            "note: the SAE local:sae says that it reads the model pythia-70m-deduped\ufffd, and the model here is gpt2 "
            "(2 layers of width 16): see that it is the same"
        )
    ]
    # Half a character in a cfg.json is no reason to fail, and the manifest can be read again.
    assert Manifest.read(one.path).sae.metadata["model_name"] == "pythia-70m-deduped\ufffd"
    assert Manifest.read(one.path).sae.metadata["more"] == {"k\ufffd": ["\ufffd"]}


@pytest.mark.parametrize(
    ("named", "name", "source", "same"),
    [
        ("gpt2-small", "gpt2", None, True),  # TransformerLens' name of it
        ("gpt2", "openai-community/gpt2", None, True),
        ("gemma-2-2b", "google/gemma-2-2b", None, True),
        ("gemma-2-2b-it", "google/gemma-2-2b", None, False),
        ("EleutherAI/pythia-70m-deduped", "Pythia_70M.deduped", None, True),
        ("pythia-70m", "pythia-70m-deduped", None, False),
        ("qwen2.5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct", None, True),
        ("gemma-2-2b", "c5ebcd40", "/hub/models--google--gemma-2-2b/snapshots/c5ebcd40", True),
        ("gemma-2-2b", "tuned", "/data/gemma-2-9b/tuned", False),
    ],
)
def test_the_same_model_has_many_names(named: str, name: str, source: str | None, same: bool) -> None:
    info = ModelInfo(name=name, source=source, weights_sha256="x" if source else None)
    assert same_model(named, info) == same


def test_nothing_of_it_reaches_the_terminal(models: Path, text: Path, tmp_path: Path, capfd: Any) -> None:
    """Of a Python call: the command line prints what `notice` is told."""
    sae = save_sae(tmp_path / "sae", prepend_bos=True, model_name="other")
    with quiet():
        capture(save_model(tmp_path / "m", bos=None), [str(sae)], text, tmp_path / "out", **RUN)
    assert capfd.readouterr() == ("", "")
