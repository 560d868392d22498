"""Capture against sae-lens and TransformerBridge used directly, on SmolLM2 and the two SAEs of the repository."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cofire.common.quiet import quiet
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture import capture
from cofire.ingest.capture_dir.directory import CaptureDir
from cofire.ingest.capture_dir.layout import MANIFEST
from cofire.ingest.capture_dir.manifest import Manifest
from cofire.ingest.capturing.text import open_text
from differing import differing, files_of
from reference import Reference, assert_capture_equals_encode, load_sae, rows_of
from repository import EXAMPLES

LAYERS = [str(EXAMPLES / "layer_12"), str(EXAMPLES / "layer_18")]
TEXT = EXAMPLES / "austen.jsonl.gz"
# Two shards of 8 windows of 63 tokens and BOS.
SMALL: dict[str, Any] = {
    "tokens": 900,
    "context": 64,
    "batch": 4,
    "shard_tokens": 512,
    "device": "cpu",
    "residual_share": 0.25,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    with quiet():
        import torch
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def reference(smollm2_dir: Path) -> Reference:
    return Reference.load(smollm2_dir)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    with gzip.open(TEXT, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="module")
def small(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run of both SAEs, to compare with."""
    out = tmp_path_factory.mktemp("small") / "capture"
    capture(smollm2_dir, LAYERS, TEXT, out, **SMALL)
    return out


class Recorder:
    """Progress that stops the run after some batches, as Ctrl-C would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.total, self.steps, self.stop_after = 0, [], stop_after
        self.steps: list[int]

    def start(self, total: int) -> None:
        self.total = total

    def advance(self, tokens: int) -> None:
        self.steps.append(tokens)
        if self.stop_after is not None and len(self.steps) >= self.stop_after:
            raise KeyboardInterrupt


def test_the_committed_saes_equal_encode(
    smollm2_dir: Path, reference: Reference, texts: list[str], tmp_path: Path
) -> None:
    seen = Recorder()
    found = capture(smollm2_dir, LAYERS, TEXT, tmp_path / "out", tokens=2000, device="cpu", progress=seen)
    assert (seen.total, sum(seen.steps)) == (2000, 2000)
    for one, layer in zip(found, LAYERS, strict=True):
        assert_capture_equals_encode(one, reference, Path(layer), texts, 2000)
        manifest = one.manifest
        assert (manifest.settings["context"], manifest.settings["prepend_bos"]) == (128, True)
        assert manifest.sae.class_name == "JumpReLUSAE"
        assert (manifest.model.name, manifest.model.n_layers, manifest.model.d_model) == (smollm2_dir.name, 30, 576)
        assert set(manifest.versions) == {"python", "cofire", "torch", "sae_lens", "transformer_lens", "transformers"}
        weights, sae = one.weights(), load_sae(Path(layer))
        assert sorted(weights) == ["W_dec", "W_enc", "b_dec", "b_enc", "threshold"]
        np.testing.assert_array_equal(weights["W_enc"], sae.W_enc.detach().numpy())
        np.testing.assert_array_equal(weights["threshold"], sae.threshold.detach().numpy())
        l0 = sum(shard.firings for shard in manifest.shards) / manifest.rows
        assert 25 < l0 < 40


def test_text_and_vocabulary_are_the_tokenizer_s(small: Path, reference: Reference, texts: list[str]) -> None:
    one = CaptureDir.open(small / "smollm2-135m-instruct-res__layer_12__batchtopk_2048")
    documents, left = [], SMALL["tokens"]
    for text in texts:
        documents.append(reference.tokens(text)[:left])
        left -= len(documents[-1])
        if left == 0:
            break
    found = one.documents()
    assert found is not None
    assert [found[number].tolist() for number in sorted(found)] == documents
    vocabulary = one.vocabulary()
    assert vocabulary is not None
    assert len(vocabulary) == 49152
    first = "".join(vocabulary[token] for token in documents[0])
    assert first == texts[0][: len(first)]
    broken = next(t for t in range(49152) if "\ufffd" in reference.tokenizer.decode([t]))
    (byte,) = one.token_bytes().of([broken])
    assert vocabulary[broken] == f"<0x{byte[0]:02X}>"
    assert not any("\ufffd" in text for text in vocabulary.values())
    assert len(set(vocabulary.values())) == 49152
    whole = b"".join(one.token_bytes().of(documents[-1])).decode()
    assert whole == reference.tokenizer.decode(documents[-1])


def test_one_run_of_two_saes_equals_two_runs(smollm2_dir: Path, small: Path, tmp_path: Path) -> None:
    for layer in LAYERS:
        (one,) = capture(smollm2_dir, [layer], TEXT, tmp_path / Path(layer).name, **SMALL)
        both = small / f"{one.manifest.release}__{one.manifest.sae_id}".replace("/", "__")
        assert differing(files_of(one.path), files_of(both)) == []


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    smollm2_dir: Path, small: Path, tmp_path: Path, stop_after: int
) -> None:
    """Batches 1 and 2 are the first shard, 3 and 4 the second; the fourth is stopped before its shard is written."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        capture(smollm2_dir, LAYERS, TEXT, out, **SMALL, progress=Recorder(stop_after))
    with pytest.raises(CaptureError, match="unfinished"):
        CaptureDir.open(next(out.iterdir()))
    seen = Recorder()
    capture(smollm2_dir, LAYERS, TEXT, out, **SMALL, progress=seen)
    assert differing(files_of(out), files_of(small)) == []
    assert sum(seen.steps) == seen.total == SMALL["tokens"]
    # A shard that is there comes as one step, one that is made as one a batch.
    assert len(seen.steps) == (4 if stop_after == 1 else 3)


def test_a_run_that_ended_with_its_first_manifest_goes_on(
    smollm2_dir: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_end(manifest: Manifest, path: Path) -> None:
        write(manifest, path)
        raise KeyboardInterrupt

    write, out = Manifest.write, tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "write", write_and_end)
        with pytest.raises(KeyboardInterrupt):
            capture(smollm2_dir, LAYERS, TEXT, out, **SMALL)
    assert [path.name for path in out.rglob("*") if path.is_file()] == [MANIFEST]
    capture(smollm2_dir, LAYERS, TEXT, out, **SMALL)
    assert differing(files_of(out), files_of(small)) == []


def test_one_sae_that_is_behind_catches_up(smollm2_dir: Path, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(small, out)
    behind = out / "smollm2-135m-instruct-res__layer_18__batchtopk_2048"
    shutil.rmtree(behind)
    capture(smollm2_dir, LAYERS, TEXT, out, **SMALL)
    assert differing(files_of(out), files_of(small)) == []


def test_a_complete_run_loads_nothing(smollm2_dir: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("cofire.ingest.capture.load_model", refuse)
    monkeypatch.setattr("cofire.ingest.capture.load_sae", refuse)
    before = files_of(small)
    assert len(capture(smollm2_dir, LAYERS, TEXT, small, **SMALL)) == 2
    assert differing(files_of(small), before) == []


def test_other_settings_are_refused_and_forced(smollm2_dir: Path, small: Path, tmp_path: Path) -> None:
    single = tmp_path / "out"
    shutil.copytree(small / "smollm2-135m-instruct-res__layer_12__batchtopk_2048", single)
    other_text = tmp_path / TEXT.name
    other_text.write_bytes(gzip.compress(b'{"text": "A short text."}\n'))
    other_sae = tmp_path / "sae"
    shutil.copytree(LAYERS[0], other_sae)
    (other_sae / "cfg.json").write_text((other_sae / "cfg.json").read_text() + "\n")
    other_model = tmp_path / "model"
    shutil.copytree(smollm2_dir, other_model, copy_function=lambda a, b: Path(b).symlink_to(a))
    plain: dict[str, Any] = {"model": smollm2_dir, "saes": LAYERS[:1], "text": TEXT}
    for change, name in [
        ({"tokens": 899}, "tokens"),
        ({"context": 32}, "context"),
        ({"batch": 2}, "batch"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"norm_factor": 10.0}, "norm_factor"),
        ({"mask_special": False}, "mask_special"),
        ({"shard_tokens": 256}, "shard_windows"),
        ({"residual_share": 0.5}, "residual_share"),
        ({"residual_share": None}, "residual_share"),
        ({"text": other_text}, "text"),
        ({"saes": [str(other_sae)]}, "SAE configuration"),
        ({"saes": LAYERS[1:]}, "SAE"),
        ({"saes": [f"mine:too={LAYERS[0]}"]}, "SAE"),
        ({"model": other_model}, "model"),
    ]:
        before = files_of(single)
        with pytest.raises(CaptureError, match=f"with another {name} .*--force"):
            capture(out=single, **(plain | SMALL | change))
        assert differing(files_of(single), before) == []
    # A bad line is found before an earlier capture is removed.
    (tmp_path / "late.jsonl").write_text('{"text": "fine"}\nnot json\n')
    before = files_of(single)
    with pytest.raises(InputError, match=r"late\.jsonl:2 is not JSON"):
        capture(out=single, **(plain | SMALL | {"text": tmp_path / "late.jsonl"}), force=True)
    assert differing(files_of(single), before) == []
    (single / "notes.md").write_text("mine")
    (single / "tables").mkdir()
    (single / "tables" / "edges.parquet").write_text("stale")
    (found,) = capture(out=single, **(plain | SMALL | {"text": other_text}), force=True)
    assert (found.manifest.text.tokens, found.manifest.text.documents) == (4, 1)
    assert (single / "notes.md").read_text() == "mine"
    assert not (single / "tables").exists()
    assert [stored.number for stored in found.residuals()] == [0]


def test_a_damaged_capture_is_not_resumed(smollm2_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        capture(smollm2_dir, LAYERS[:1], TEXT, out, **SMALL, progress=Recorder(3))
    for name in ("shards/shard-00000.parquet", "residuals/residuals-00000.safetensors"):
        whole = (out / name).read_bytes()
        (out / name).write_bytes(whole[:-1])
        with pytest.raises(CaptureError, match=rf"{name} is damaged"):
            capture(smollm2_dir, LAYERS[:1], TEXT, out, **SMALL)
        (out / name).write_bytes(whole)


def test_special_tokens_are_masked_wherever_they_stand(smollm2_dir: Path, reference: Reference, tmp_path: Path) -> None:
    text = "<|im_start|>user\nHow are you, Emma?<|im_end|>\nElizabeth Bennet was very well.<|endoftext|>"
    (tmp_path / "chat.txt").write_text(text)
    run: dict[str, Any] = {"context": 16, "batch": 2, "device": "cpu", "norm_factor": None}
    (masked,) = capture(smollm2_dir, LAYERS[:1], tmp_path / "chat.txt", tmp_path / "masked", **run)
    tokens = reference.tokens(text)
    special = [position for position, token in enumerate(tokens) if token in (0, 1, 2)]
    assert len(special) == 3
    assert masked.manifest.masking.special_tokens == 3
    assert masked.manifest.masking.norm_limit is None
    positions = [position for _, position, _, _ in rows_of(masked)]
    assert positions == [position for position in range(len(tokens)) if position not in special]
    assert_capture_equals_encode(masked, reference, Path(LAYERS[0]), [text])
    (kept,) = capture(smollm2_dir, LAYERS[:1], tmp_path / "chat.txt", tmp_path / "kept", **run, mask_special=False)
    assert [token for _, _, token, _ in rows_of(kept)] == tokens
    assert (kept.manifest.masking.special_tokens, kept.manifest.masking.kept) == (0, len(tokens))
    # A low limit drops the long ones: SmolLM2 makes first words sinks.
    (cut,) = capture(smollm2_dir, LAYERS[:1], tmp_path / "chat.txt", tmp_path / "cut", **(run | {"norm_factor": 1.05}))
    masking = cut.manifest.masking
    assert masking.norm_outliers > 0
    assert masking.kept + masking.norm_outliers + masking.special_tokens == len(tokens)
    assert_capture_equals_encode(cut, reference, Path(LAYERS[0]), [text])


def test_a_text_of_special_tokens_has_no_rows(smollm2_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("<|im_end|>")
    (found,) = capture(smollm2_dir, LAYERS[:1], tmp_path / "a.txt", tmp_path / "out", device="cpu")
    assert (found.manifest.rows, found.manifest.masking.special_tokens) == (0, 1)
    assert [shard.rows for shard in found.shards()] == [0]


def config(name: str, **more: Any) -> dict[str, Any]:
    metadata = {"hook_name": "blocks.2.hook_resid_post", "context_size": 32, "prepend_bos": True} | more.pop(
        "metadata", {}
    )
    return {"architecture": name, "d_in": 576, "d_sae": 96, "metadata": metadata, "apply_b_dec_to_input": True} | more


# name -> (configuration, whether capture folds its decoder norms; sae-lens does it itself on saving batch-top-k)
CLASSES: dict[str, tuple[dict[str, Any], bool]] = {
    "standard": (config("standard"), True),
    "standard_layer_norm": (config("standard", normalize_activations="layer_norm"), True),
    "topk": (config("topk", k=8), False),
    "topk_rescaled": (config("topk", k=8, rescale_acts_by_decoder_norm=True), True),
    "batchtopk": (config("batchtopk", k=8), False),
    "matryoshka_batchtopk": (config("matryoshka_batchtopk", k=8, matryoshka_widths=[32, 96]), False),
    "jumprelu": (config("jumprelu"), True),
    "gated": (config("gated"), True),
    "matching_pursuit": (config("matching_pursuit", max_iterations=6), False),
    "transcoder": (
        config("transcoder", d_out=576, apply_b_dec_to_input=False, metadata={"hook_name": "blocks.2.hook_mlp_in"}),
        True,
    ),
    "skip_transcoder": (config("skip_transcoder", d_out=64, apply_b_dec_to_input=False), True),
    "jumprelu_transcoder": (config("jumprelu_transcoder", d_out=576, apply_b_dec_to_input=False), True),
    "jumprelu_skip_transcoder": (config("jumprelu_skip_transcoder", d_out=576, apply_b_dec_to_input=False), True),
    "heads_flattened": (
        config("standard", reshape_activations="hook_z", metadata={"hook_name": "blocks.1.attn.hook_z"}),
        True,
    ),
    "one_head": (
        config("standard", d_in=64, metadata={"hook_name": "blocks.1.attn.hook_z", "hook_head_index": 3}),
        True,
    ),
}


def save_random(name: str, settings: dict[str, Any], directory: Path) -> Path:
    """A random SAE of a class with firing latents, as sae-lens saves it."""
    with quiet():
        import torch
        from sae_lens import SAE, TrainingSAE

        torch.manual_seed(sorted(CLASSES).index(name) if name in CLASSES else 0)
        training = settings["architecture"] in ("batchtopk", "matryoshka_batchtopk")
        sae: Any = (TrainingSAE if training else SAE).from_dict(settings)
        for key, parameter in sae.named_parameters():
            scale = 0.5 if key in ("b_enc", "b_gate", "b_mag", "b_dec") else 0.1 if key == "r_mag" else None
            if scale is not None:
                parameter.data = scale * torch.randn_like(parameter)
            if key == "threshold":
                parameter.data = 2 + torch.rand_like(parameter)
        if "W_enc" in dict(sae.named_parameters()):
            sae.W_enc.data = torch.randn_like(sae.W_enc) / 10
        sae.W_dec.data *= 0.5 + torch.rand(len(sae.W_dec), 1)
        if training:
            sae.topk_threshold = torch.tensor(2.0, dtype=torch.double)
            sae.save_inference_model(directory)
        else:
            if settings["architecture"] == "matching_pursuit":
                sae.W_dec.data /= sae.W_dec.norm(dim=-1, keepdim=True)
            sae.save_model(directory)
    return directory


@pytest.fixture(scope="module")
def every_class(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, CaptureDir]]:
    """One run of an SAE of every class."""
    place = tmp_path_factory.mktemp("classes")
    directories = [save_random(name, settings, place / name) for name, (settings, _) in CLASSES.items()]
    specs = [f"tiny:{directory.name}={directory}" for directory in directories]
    run: dict[str, Any] = {"tokens": 400, "batch": 4, "device": "cpu", "norm_factor": None, "residual_share": 1.0}
    found = capture(smollm2_dir, specs, TEXT, place / "out", **run)
    return {directory.name: (directory, one) for directory, one in zip(directories, found, strict=True)}


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_equals_encode(
    every_class: dict[str, tuple[Path, CaptureDir]], reference: Reference, texts: list[str], name: str
) -> None:
    directory, one = every_class[name]
    settings, folded = CLASSES[name]
    if settings["metadata"]["hook_name"].endswith("hook_mlp_in"):
        reference.bridge.set_use_hook_mlp_in(True)
    assert one.manifest.settings["context"] == 32
    assert one.manifest.sae.folded_decoder_norm == folded
    assert sum(shard.firings for shard in one.manifest.shards) > 400
    assert_capture_equals_encode(one, reference, directory, texts, 400)
    norms = np.linalg.norm(one.weights()["W_dec"], axis=1)
    assert np.allclose(norms, 1, atol=1e-5) == (name != "topk")


@pytest.mark.parametrize("name", CLASSES)
def test_the_noise_of_every_class_is_that_of_sae_lens(
    every_class: dict[str, tuple[Path, CaptureDir]], name: str
) -> None:
    """What sae-lens, given the SAE as it was saved, has at `hook_sae_acts_pre` on tokens where a latent is silent."""
    import torch

    from cofire.ingest.noise.floor import MAD_TO_SIGMA, MIN_OFF, capture_noise

    directory, one = every_class[name]
    noise = capture_noise(one)
    if name == "matching_pursuit":
        assert "no pre-activation" in (noise.reason or "")
        assert np.isnan(noise.m0).all()
        assert np.isnan(noise.sigma0).all()
        return
    assert (noise.reason, noise.tokens) == (None, one.manifest.rows)
    sae = load_sae(directory)
    sae.turn_off_forward_pass_hook_z_reshaping()
    x = torch.from_numpy(np.concatenate([x for stored in one.residuals() for _, x in stored.chunks()]))
    with torch.no_grad(), quiet():
        cache: dict[str, Any] = {}
        sae.hook_sae_acts_pre.add_hook(lambda value, hook: cache.update(pre=value))
        sae.encode(x)
        rescales = getattr(sae.cfg, "rescale_acts_by_decoder_norm", False)
        norms = sae.W_dec.norm(dim=-1) if one.manifest.sae.folded_decoder_norm or rescales else torch.ones(())
        pre = (cache["pre"] * norms).numpy()
    known = 0
    fires = np.stack([dense > 0 for *_, dense in rows_of(one)])
    for latent, on in enumerate(fires.T):
        off = pre[~on, latent]
        if len(off) < MIN_OFF:
            assert np.isnan(noise.sigma0[latent])
            continue
        known += 1
        centre = float(np.median(off))
        sigma = MAD_TO_SIGMA * float(np.median(np.abs(off - centre)))
        assert noise.m0[latent] == pytest.approx(centre, abs=0.01 * sigma)
        assert noise.sigma0[latent] == pytest.approx(sigma, rel=0.01)
    assert known > 30


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (config("temporal", d_sae=512, n_heads=2), "class temporal, which cannot be captured: .*other tokens"),
        (config("abstopk", k=8), "class abstopk, which cannot be captured: .*signed"),
        (config("crosscoder"), "class crosscoder, which cannot be captured: known are"),
        (config("batchtopk"), "training checkpoint of the class batchtopk"),
        (config("standard", normalize_activations="expected_average_only_in"), "whose scale is not in its files"),
        (config("standard", metadata={"hook_name": None}), "does not say which hook point"),
        (config("standard", metadata={"hook_name": "blocks.30.hook_resid_post"}), "which the model .* has not"),
        (config("standard", metadata={"hook_name": "blocks.2.hook_z"}), "did you mean"),
        (config("standard", d_in=64), "reads 64 numbers at .* has 576 there"),
        (config("standard", metadata={"hook_head_index": 3}), "reads head 3"),
        (config("standard", metadata={"model_from_pretrained_kwargs": {"revision": "x"}}), "cannot do"),
    ],
)
def test_saes_that_cannot_be_captured_give_one_line(
    smollm2_dir: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    directory = tmp_path / "sae"
    if settings["architecture"] in ("crosscoder", "batchtopk"):
        save_random("none", config("standard"), directory)
        (directory / "cfg.json").write_text(json.dumps(settings))
    else:
        save_random("none", settings, directory)
    with pytest.raises(InputError, match=message) as caught:
        capture(smollm2_dir, [f"r:i={directory}"], TEXT, tmp_path / "out", **SMALL)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def damage(change: Callable[[dict[str, Any]], None], directory: Path) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(LAYERS[0], directory)
    weights = load_file(directory / "sae_weights.safetensors")
    change(weights)
    save_file(weights, directory / "sae_weights.safetensors")
    return directory


def test_damaged_saes_give_one_line(smollm2_dir: Path, tmp_path: Path) -> None:
    def poison(weights: dict[str, Any]) -> None:
        weights["b_enc"][5] = float("nan")

    broken = tmp_path / "broken"
    shutil.copytree(LAYERS[0], broken)
    (broken / "sae_weights.safetensors").write_bytes(b"\x10" * 64)
    for directory, message in [
        (damage(poison, tmp_path / "nan"), "not finite at document 0, position 0"),
        (damage(lambda weights: weights.pop("b_enc"), tmp_path / "less"), "cannot load SAE"),
        (broken, "cannot load SAE"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            capture(smollm2_dir, [str(directory)], TEXT, tmp_path / "out", **SMALL)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_malformed_requests_give_one_line_and_write_nothing(smollm2_dir: Path, tmp_path: Path) -> None:
    other_bos = damage(lambda weights: None, tmp_path / "no_bos")
    settings = json.loads((other_bos / "cfg.json").read_text())
    settings["metadata"] |= {"prepend_bos": False, "sae_id": "no_bos"}
    (other_bos / "cfg.json").write_text(json.dumps(settings))
    (tmp_path / "late.jsonl").write_text('{"text": "fine"}\nnot json\n')
    (tmp_path / "blank.txt").write_text("")
    half = tmp_path / "half"
    half.mkdir()
    (half / "config.json").write_text("{}")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("x")
    plain: dict[str, Any] = {"model": smollm2_dir, "saes": LAYERS, "text": TEXT, "out": tmp_path / "out"} | SMALL
    for change, message in [
        ({"tokens": 0}, "--tokens 0 is too small"),
        ({"context": 1}, "--context 1 is too small"),
        ({"batch": 0}, "--batch 0 is too small"),
        ({"norm_factor": float("nan")}, "--norm-factor nan"),
        ({"residual_share": 0.0}, "--residual-share 0.0 is no share"),
        ({"residual_share": float("nan")}, "--residual-share nan is no share"),
        ({"context": 10_000}, "more than the 8192"),
        ({"dtype": "int8"}, "--dtype int8 is unknown"),
        ({"device": "tpu"}, "--device tpu is unknown"),
        ({"saes": []}, "no SAE named"),
        ({"saes": [LAYERS[0], LAYERS[0]]}, "is named twice"),
        ({"saes": [LAYERS[0], str(other_bos)]}, "differ in prepend_bos .*separate runs"),
        ({"text": tmp_path / "late.jsonl"}, "late.jsonl:2 is not JSON"),
        ({"text": tmp_path / "blank.txt"}, "has no tokens"),
        ({"text": tmp_path / "none.txt"}, "no text at"),
        ({"model": tmp_path / "none"}, "no model at"),
        ({"model": half}, "cannot load the model"),
        ({"out": full}, "holds thesis.tex"),
        ({"out": full, "force": True}, "holds thesis.tex"),
        ({"out": full / "thesis.tex"}, "is a file"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            capture(**(plain | change))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]


def test_nothing_reaches_the_terminal(smollm2_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capture(smollm2_dir, LAYERS[:1], TEXT, tmp_path / "out", **(SMALL | {"tokens": 20}))
    assert capfd.readouterr() == ("", "")


def test_a_dataset_is_streamed(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "x", "n": 1}\n{"text": "y", "n": 2}\n')
    documents = list(open_text(f"hf:{tmp_path}").documents())
    assert [text for _, text in documents] == ["x", "y"]
    assert documents[1][0].endswith("train:1")
    with pytest.raises(InputError, match=r"no string in the field 'body'.*text"):
        list(open_text(f"hf:{tmp_path}", "body").documents())
    with pytest.raises(InputError, match="cannot read the dataset"):
        list(open_text(f"hf:{tmp_path}:test").documents())


def test_writing_weights_are_centred_where_the_sae_wants_it(smollm2_dir: Path, tmp_path: Path) -> None:
    """GPT-2's published SAEs read a residual stream whose mean is taken off; no processing leaves it as it is."""
    with quiet():
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel

    from cofire.ingest.capturing.model import find_model, load_model

    torch.manual_seed(0)
    place = tmp_path / "gpt2"
    GPT2LMHeadModel(GPT2Config(vocab_size=49152, n_embd=8, n_layer=2, n_head=2, n_positions=16)).save_pretrained(place)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(smollm2_dir / name, place)
    found = find_model(place)
    tokens, hook = np.array([[1, 500, 600, 700]]), "blocks.1.hook_resid_post"
    raw = load_model(place, found).run(tokens, [hook])[hook]
    centred = load_model(place, found, processing={"center_writing_weights": True}).run(tokens, [hook])[hook]
    assert float(raw.mean(-1).abs().max()) > 1e-3
    torch.testing.assert_close(centred, raw - raw.mean(-1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_a_registered_sae_is_fetched_and_known_by_its_tensors(
    smollm2_dir: Path, reference: Reference, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub is replaced by a directory; the registry and the loader are those of sae-lens."""
    spec = "llama-3-8b-it-res-jh:blocks.25.hook_resid_post"
    directory = save_random("none", config("standard"), tmp_path / "hub")

    def download(repo_id: str, filename: str, force_download: bool = False) -> str:
        from huggingface_hub.errors import LocalEntryNotFoundError

        assert repo_id == "Juliushanhanhan/llama-3-8b-it-res"
        path = directory / Path(filename).name
        if not path.is_file():
            raise LocalEntryNotFoundError(filename)
        return str(path)

    monkeypatch.setattr("sae_lens.loading.pretrained_sae_loaders.hf_hub_download", download)
    run: dict[str, Any] = {"tokens": 100, "device": "cpu", "norm_factor": None}
    (one,) = capture(smollm2_dir, [spec], TEXT, tmp_path / "out", **run)
    assert one.uid == "llama-3-8b-it-res-jh/blocks.25.hook_resid_post"
    assert one.manifest.sae.neuronpedia_id == "llama3-8b-it/25-res-jh"
    assert one.manifest.sae.source == f"sae-lens:{spec}"
    assert_capture_equals_encode(one, reference, directory, texts, 100)
    before = files_of(tmp_path / "out")
    capture(smollm2_dir, [spec], TEXT, tmp_path / "out", **run)
    assert differing(files_of(tmp_path / "out"), before) == []
    save_random("standard", config("standard"), directory)
    with pytest.raises(CaptureError, match="with another SAE weights"):
        capture(smollm2_dir, [spec], TEXT, tmp_path / "out", **run)


def test_a_registered_scale_is_folded_into_a_local_copy(tmp_path: Path) -> None:
    with quiet():
        import torch
        from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor

    from cofire.ingest.capturing.saes import find_sae
    from cofire.ingest.capturing.saes import load_sae as load

    name = ("gpt2-small-mlp-tm", "blocks.0.hook_mlp_out")
    factor = get_norm_scaling_factor(*name)
    assert factor is not None
    settings = config("standard", normalize_activations="expected_average_only_in", apply_b_dec_to_input=False)
    directory = save_random("none", settings, tmp_path / "sae")
    loaded, plain = load(find_sae(f"{name[0]}:{name[1]}={directory}")), load_sae(directory)
    inputs = torch.randn(5, 576)
    with torch.no_grad():
        expected = plain.encode(inputs * factor) * plain.W_dec.norm(dim=-1) / factor
        torch.testing.assert_close(loaded.encode(inputs), expected)
    assert loaded.info.normalize_activations == "none"
