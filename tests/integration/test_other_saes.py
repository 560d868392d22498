"""SAEs of other libraries against their own formulas, written out in NumPy, and against modules of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import sae_directories as saved
from cofire.common.quiet import quiet
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture import capture
from cofire.ingest.capturing.saes import LoadedSae, find_sae, load_sae
from reference import rows_of
from sae_directories import K, Raw

Floats = npt.NDArray[np.float64]


def relu(values: Floats) -> Floats:
    return np.maximum(values, 0)


def top(values: Floats, k: int = K) -> Floats:
    """The k largest of each row, 0 elsewhere."""
    kept = np.zeros_like(values)
    at = np.argsort(values, axis=1)[:, -k:]
    np.put_along_axis(kept, at, np.take_along_axis(values, at, axis=1), axis=1)
    return kept


def gated(raw: Raw, x: Floats) -> Floats:
    pre = (x - raw["decoder_bias"]) @ raw["encoder.weight"].T
    return (pre + raw["gate_bias"] > 0) * relu(np.exp(raw["r_mag"]) * pre + raw["mag_bias"])


def jump(pre: Floats, threshold: npt.NDArray[Any]) -> Floats:
    return relu(pre) * (relu(pre) > threshold)


def linear(raw: Raw, x: Floats) -> Floats:
    return x @ raw["encoder.weight"].T + raw["encoder.bias"]


def plain(raw: Raw, x: Floats) -> Floats:
    return x @ raw["W_enc"] + raw["b_enc"]


ENCODE: dict[str, Callable[[Raw, Floats], Floats]] = {
    "AutoEncoder": lambda raw, x: relu(linear(raw, x - raw["bias"])),
    "AutoEncoderNew": lambda raw, x: relu(linear(raw, x)),
    "GatedAutoEncoder": gated,
    "JumpReluAutoEncoder": lambda raw, x: jump(plain(raw, x), raw["threshold"]),
    "AutoEncoderTopK": lambda raw, x: top(relu(linear(raw, x - raw["b_dec"]))),
    "BatchTopKSAE": lambda raw, x: jump(linear(raw, x - raw["b_dec"]), raw["threshold"]),
    "MatryoshkaBatchTopKSAE": lambda raw, x: jump(plain(raw, x - raw["b_dec"]), raw["threshold"]),
    "MatroyshkaBatchTopKSAE": lambda raw, x: jump(plain(raw, x - raw["b_dec"]), raw["threshold"]),
    "sparsify": lambda raw, x: top(relu(linear(raw, x - raw["b_dec"]))),
    "sparsify, bfloat16": lambda raw, x: top(relu(linear(raw, x - raw["b_dec"]))),
    "sparsify, decoder as it came out": lambda raw, x: top(relu(linear(raw, x - raw["b_dec"]))),
    "sparsify transcoder": lambda raw, x: top(relu(linear(raw, x))),
    "sparsify skip transcoder of 2024": lambda raw, x: top(relu(linear(raw, x - raw["b_dec"]))),
    "sparsify transcoder of 2024": lambda raw, x: top(relu(linear(raw, x - raw["b_dec"]))),
    "Gemma Scope": lambda raw, x: jump(plain(raw, x), raw["threshold"]),
    "Gemma Scope transcoder": lambda raw, x: jump(plain(raw, x), raw["threshold"]),
    "Gemma Scope transcoder, small letters": lambda raw, x: jump(x @ raw["w_enc"] + raw["b_enc"], raw["threshold"]),
    "Gemma Scope 2 transcoder": lambda raw, x: jump(x @ raw["w_enc"] + raw["b_enc"], raw["threshold"]),
    "Gemma Scope 2": lambda raw, x: jump(x @ raw["w_enc"] + raw["b_enc"], raw["threshold"]),
}


def save(name: str, place: Path) -> tuple[Path, Raw]:
    """Save the SAE of that name somewhere under `place`."""
    run = place / name.replace(" ", "_")
    if name in saved.CLASSES:
        directory = run / "trainer_0"
        return directory, saved.dictionary_learning(directory, name)
    scope = run / ("gemma-scope-2b-pt-" + ("transcoders" if "trans" in name else "res")) / "layer_1/width_16k/l"
    directories: dict[str, tuple[Path, Callable[[Path], Raw]]] = {
        "sparsify": (run / "layers.1", lambda at: saved.sparsify(at, run={"model": "EleutherAI/pythia-160m"})),
        "sparsify, bfloat16": (run / "layers.1", lambda at: saved.sparsify(at, dtype="bfloat16", num_latents=0)),
        "sparsify, decoder as it came out": (run / "layers.1", lambda at: saved.sparsify(at, normalize_decoder=False)),
        "sparsify transcoder": (
            run / "layers.1.mlp",
            lambda at: saved.sparsify(at, transcode=True, skip_connection=True, activation="topk"),
        ),
        "sparsify transcoder of 2024": (run / "layers.1.mlp", lambda at: saved.sparsify(at, run={"transcode": True})),
        "Gemma Scope": (scope, saved.gemma_scope),
        "Gemma Scope transcoder": (scope, saved.gemma_scope),
        "sparsify skip transcoder of 2024": (
            run / "layers.1.mlp",
            lambda at: saved.sparsify(at, skip_connection=True),
        ),
        "Gemma Scope transcoder, small letters": (scope, lambda at: saved.gemma_scope(at, small=True)),
        "Gemma Scope 2 transcoder": (
            run / "layer_1",
            lambda at: saved.gemma_scope_2(
                at,
                "model.layers.1.pre_feedforward_layernorm.output",
                hf_hook_point_out="model.layers.1.post_feedforward_layernorm.output",
                affine_connection=True,
                type="transcoder",
            ),
        ),
        "Gemma Scope 2": (run / "layer_1", lambda at: saved.gemma_scope_2(at, "model.layers.1.output")),
    }
    directory, write = directories[name]
    return directory, write(directory)


def decoder(raw: Raw) -> npt.NDArray[Any]:
    """[N, d], however the library keeps it."""
    if "decoder.weight" in raw:
        return raw["decoder.weight"].T
    return raw["W_dec"] if "W_dec" in raw else raw["w_dec"]


def check(sae: LoadedSae, raw: Raw, expected: Floats, found: npt.NDArray[Any]) -> None:
    """Compare activations, times the decoder norms where they were folded in, and decoder rows up to these norms."""
    norms = np.linalg.norm(decoder(raw), axis=1)
    folded = sae.info.folded_decoder_norm
    np.testing.assert_allclose(found, expected * (norms if folded else 1), rtol=1e-4, atol=1e-4)
    W_dec = sae.weights()["W_dec"]
    np.testing.assert_allclose(W_dec * (norms[:, None] if folded else 1), decoder(raw), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ENCODE)
def test_encode_is_that_of_the_library(tmp_path: Path, name: str) -> None:
    import torch

    directory, raw = save(name, tmp_path)
    sae = load_sae(find_sae(str(directory)))
    x = np.random.default_rng(1).normal(size=(64, saved.D)) * 2
    found = sae.encode(torch.from_numpy(x).float()).detach().numpy()
    expected = ENCODE[name](raw, x.astype(np.float32).astype(np.float64))
    assert 0.02 < (expected > 0).mean() < 0.7
    check(sae, raw, expected, found)
    assert sae.info.folded_decoder_norm == (sae.info.architecture != "topk")
    assert ("transcoder" in sae.info.architecture) == ("transcoder" in name and "Gemma" in name)
    assert (sae.n_latents, sae.info.d_in, sae.info.layer) == (saved.N, saved.D, 1)
    assert (sae.info.hook or "").startswith("blocks.1.")
    assert sae.info.source == str(directory)


def test_every_class_has_a_formula() -> None:
    from cofire.ingest.capturing.sae_directories import dictionary_learning

    assert set(dictionary_learning.CLASSES) == set(saved.CLASSES) <= set(ENCODE)


def test_damaged_weights_give_one_line(tmp_path: Path) -> None:
    import torch

    def learned(name: str, change: Callable[[Raw], Any], dict_class: str = "AutoEncoder", **trainer: Any) -> Path:
        raw = saved.dictionary_learning(tmp_path / name, dict_class, **trainer)
        change(raw)
        saved.save(tmp_path / name / "ae.pt", raw)
        return tmp_path / name

    def as_it_is(name: str, value: Any) -> Path:
        saved.dictionary_learning(tmp_path / name, "AutoEncoder")
        torch.save(value, tmp_path / name / "ae.pt")
        return tmp_path / name

    def cut(directory: Path, file: str, size: int) -> Path:
        (directory / file).write_bytes((directory / file).read_bytes()[:size])
        return directory

    def poison(raw: Raw) -> None:
        raw["threshold"][3] = np.nan

    scope, _ = save("Gemma Scope", tmp_path)
    sparse, _ = save("sparsify", tmp_path)
    objects = tmp_path / "objects" / "gemma-scope-2b-pt-res" / "layer_1"
    objects.mkdir(parents=True)
    np.savez(objects / "params.npz", W_enc=np.array([{}], dtype=object))
    backup = {"step": 3, "ae": {"bias": torch.zeros(3)}, "optimizer": {}, "config": {}, "norm_factor": 2.0}
    number = {"encoder.weight": 3}

    class Evil:
        def __reduce__(self) -> Any:
            return Path.mkdir, (tmp_path / "made by a pickle",)

    for directory, message in [
        (
            as_it_is("module", torch.nn.Linear(2, 2)),
            "holds more than tensors, or is damaged; cofire does not run what is in a pickle",
        ),
        (as_it_is("evil", {"bias": torch.zeros(3), "more": Evil()}), "cofire does not run what is in a pickle"),
        (as_it_is("backup", backup), "backup of a training that had not ended"),
        (as_it_is("list", [torch.zeros(3)]), "is no state of an SAE"),
        (as_it_is("number", number), "is no state of an SAE"),
        (as_it_is("nothing", {}), r"has no tensor encoder\.weight, .* \(it has none\)"),
        (cut(learned("cut", lambda raw: None), "ae.pt", 900), r"ae\.pt cannot be read as tensors|is damaged"),
        (cut(learned("void", lambda raw: None), "ae.pt", 0), r"ae\.pt cannot be read as tensors|is damaged"),
        (cut(sparse, "sae.safetensors", 400), "cannot be read as tensors"),
        (cut(scope, "params.npz", 400), "cannot be read as tensors"),
        (objects, "cannot be read as tensors"),
        (learned("lacks", lambda raw: raw.pop("bias")), "has no tensor bias, which an SAE of its class has"),
        (learned("other", lambda raw: raw.update(bias=np.zeros(3, np.float32))), r"should have the shape \(16,\)"),
        (
            learned("turned", lambda raw: raw.update({"decoder.weight": raw["decoder.weight"].T.copy()})),
            r"decoder\.weight does not fit the encoder of 16 x 48: it should have the shape \(16, 48\)",
        ),
        (learned("flat", lambda raw: raw.update({"encoder.weight": raw["bias"]})), "an encoder has two sizes"),
        (learned("size", lambda raw: None, dict_size=41), "has d_sae 48, its configuration says 41"),
        (learned("width", lambda raw: None, activation_dim=17), "has d_in 16, its configuration says 17"),
        (learned("k", lambda raw: None, "AutoEncoderTopK", k=7), "has k 6, its configuration says 7"),
        (learned("large", lambda raw: raw.pop("k"), "AutoEncoderTopK", k=49), "has 48 latents, .* wants k 49"),
        (learned("unset", lambda raw: raw["threshold"].fill(-1), "BatchTopKSAE"), "before its threshold was set"),
        (learned("untracked", lambda raw: raw.pop("threshold"), "BatchTopKSAE"), "has no tensor threshold"),
        (learned("scaled", lambda raw: raw.update(scaling_factor=np.ones(3) * 2)), "has a scaling_factor, which no"),
        (learned("nan", poison, "JumpReluAutoEncoder"), "threshold holds a value that is not finite"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            load_sae(find_sae(f"r:i={directory}"))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "made by a pickle").exists()


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 2 of two layers: it has a norm behind attention and MLP, and scales its embeddings."""
    with quiet():
        import torch
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.pre_tokenizers import Whitespace
        from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedTokenizerFast

        place = tmp_path_factory.mktemp("model") / "tiny-gemma"
        words = ["<bos>", "<eos>", "<unk>", *(f"w{number}" for number in range(29))]
        special = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
        vocabulary = {word: at for at, word in enumerate(words)}
        tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=special["unk_token"]))
        tokenizer.pre_tokenizer = Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(place)
        torch.manual_seed(0)
        config = Gemma2Config(
            vocab_size=len(words),
            hidden_size=saved.D,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=saved.D // 2,
            query_pre_attn_scalar=8,
            max_position_embeddings=64,
        )
        model = Gemma2ForCausalLM(config)
        for parameter in model.parameters():
            parameter.data = 0.4 * torch.randn_like(parameter)
        model.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def modules(gemma: Path) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """What each module of the model is given and gives, [T, d], on BOS and all words, by Hugging Face alone."""
    with quiet():
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(gemma, dtype="float32").eval()
        found: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(_: Any, given: Any, named: dict[str, Any], gave: Any) -> None:
                first = given[0] if given else named["hidden_states"]
                gave = gave[0] if isinstance(gave, tuple) else gave
                found[name] = (first[0].numpy(), gave[0].numpy())

            return hook

        for name, module in model.named_modules():
            if name.startswith("model.layers."):
                module.register_forward_hook(keep(name.removeprefix("model.")), with_kwargs=True)
        with torch.no_grad():
            model(torch.tensor([[0, *range(3, 32)]]))
    return found


# sae id -> (formula, the module that it reads and whether what it is given, how it is saved)
Saver = Callable[[Path], Raw]
READ: dict[str, tuple[str, str, bool, Saver]] = {
    "learned/resid_post_layer_0/trainer_0": (
        "BatchTopKSAE",
        "layers.0",
        False,
        lambda at: saved.dictionary_learning(at, "BatchTopKSAE", submodule_name=None, layer=0),
    ),
    "learned/attention_out_layer_1/trainer_0": (
        "GatedAutoEncoder",
        "layers.1.self_attn",
        False,
        lambda at: saved.dictionary_learning(at, "GatedAutoEncoder", submodule_name=None),
    ),
    "sparse/layers.1": ("sparsify", "layers.1", False, saved.sparsify),
    "sparse/layers.0.mlp": ("sparsify", "layers.0.mlp", False, saved.sparsify),
    "across/layers.0.mlp": ("sparsify transcoder", "layers.0.mlp", True, lambda at: saved.sparsify(at, transcode=True)),
    "gemma-scope-2b-pt-res/layer_0/w": ("Gemma Scope", "layers.0", False, saved.gemma_scope),
    "gemma-scope-2b-pt-res/embedding/w": ("Gemma Scope", "layers.0", True, saved.gemma_scope),
    "gemma-scope-2b-pt-mlp/layer_1/w": ("Gemma Scope", "layers.1.post_feedforward_layernorm", False, saved.gemma_scope),
    "gemma-scope-2b-pt-att/layer_1/w": ("Gemma Scope", "layers.1.self_attn.o_proj", True, saved.gemma_scope),
    "gemma-scope-2b-pt-transcoders/layer_1/w": ("Gemma Scope", "layers.1.mlp", True, saved.gemma_scope),
    "second/a": (
        "Gemma Scope 2",
        "layers.1.pre_feedforward_layernorm",
        False,
        lambda at: saved.gemma_scope_2(at, "model.layers.1.pre_feedforward_layernorm.output"),
    ),
}


def test_captures_read_what_the_library_s_hook_point_is(
    gemma: Path, modules: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]], tmp_path: Path
) -> None:
    """One run for all, and each activation is the formula's on what Hugging Face's own module gives or is given."""
    text = tmp_path / "text.txt"
    text.write_text(" ".join(f"w{number}" for number in range(29)))
    raws = [write(tmp_path / place) for place, (*_, write) in READ.items()]
    specs = [f"other:{place}={tmp_path / place}" for place in READ]
    run: dict[str, Any] = {"context": 32, "device": "cpu", "norm_factor": None}
    found = capture(gemma, specs, text, tmp_path / "out", **run)
    for one, raw, (name, module, given, _) in zip(found, raws, READ.values(), strict=True):
        x = modules[module][0 if given else 1][1:].astype(np.float64)
        expected = ENCODE[name](raw, x)
        norms = np.linalg.norm(decoder(raw), axis=1) if one.manifest.sae.folded_decoder_norm else np.ones(saved.N)
        dense = np.stack([row for *_, row in rows_of(one)])
        np.testing.assert_allclose(dense, expected * norms, rtol=1e-3, atol=1e-3, err_msg=one.uid)
        assert (expected > 0).any()
    again = capture(gemma, specs, text, tmp_path / "out", **run)
    assert [one.uid for one in again] == [one.uid for one in found]
    other = tmp_path / "sparse" / "layers.1"
    saved.write(other / "cofire.json", {"hook_name": "blocks.1.hook_resid_mid"})
    with pytest.raises(CaptureError, match="with another SAE configuration"):
        capture(gemma, specs, text, tmp_path / "out", **run)
    (alone,) = capture(gemma, [str(other)], text, tmp_path / "alone", **run)
    assert (alone.uid, alone.manifest.sae.hook) == ("local/sparse/layers.1", "blocks.1.hook_resid_mid")
