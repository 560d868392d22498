"""What SAE directories of other libraries are taken for; no tensor is read here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cofire.errors import InputError
from cofire.ingest.capturing.sae_directories.hooks import hook_of_module, hook_of_site
from cofire.ingest.capturing.saes import SaeSource, find_sae
from sae_directories import write

TRAINER = {"dict_class": "AutoEncoder", "layer": 3, "lm_name": "google/gemma-2-2b", "activation_dim": 16}
SITE = {"submodule_name": "resid_post_layer_3"}
SPARSE = {"d_in": 16, "num_latents": 40, "k": 6, "normalize_decoder": True}


def put(directory: Path, files: dict[str, Any]) -> SaeSource:
    """Write files, JSON where they are named so, and find the SAE there."""
    for name, content in files.items():
        write(directory / name, content)
    return find_sae(str(directory))


def learned(directory: Path, trainer: dict[str, Any], **more: Any) -> SaeSource:
    return put(directory, {"ae.pt": "weights", "config.json": {"trainer": TRAINER | trainer} | more})


def sparse(directory: Path, config: dict[str, Any], **more: Any) -> SaeSource:
    return put(directory, {"sae.safetensors": "weights", "cfg.json": SPARSE | config} | more)


@pytest.mark.parametrize(
    ("name", "given", "hook"),
    [
        ("layers.12", False, "blocks.12.hook_resid_post"),
        ("model.layers.0", True, "blocks.0.hook_resid_pre"),
        ("transformer.h.3.mlp", False, "blocks.3.mlp.hook_out"),
        ("layers.3.mlp", True, "blocks.3.mlp.hook_in"),
        ("gpt_neox.layers.7.attention", False, "blocks.7.attn.hook_out"),
        ("model.layers.7.self_attn", False, "blocks.7.attn.hook_out"),
        ("layers.7.self_attn", True, None),
        ("model.layers.2.post_feedforward_layernorm", False, "blocks.2.ln2_post.hook_out"),
        ("layers_5", False, "blocks.5.hook_resid_post"),
        ("embed_tokens", False, "hook_embed"),
        ("layers.3.mlp.act", False, None),
        ("h.3.ln_1", False, None),
        ("players.3", False, None),
        ("trainer_0", False, None),
        ("", False, None),
    ],
)
def test_modules_have_hook_points(name: str, given: bool, hook: str | None) -> None:
    assert hook_of_module(name, given=given) == hook


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("resid_post_layer_12", "blocks.12.hook_resid_post"),
        ("resid_out_layer3", "blocks.3.hook_resid_post"),
        ("resid_post_layer_12_checkpoints", "blocks.12.hook_resid_post"),
        ("resid_pre_layer_4", "blocks.4.hook_resid_pre"),
        ("mlp_out_layer0", "blocks.0.mlp.hook_out"),
        ("attention_out_layer_5", "blocks.5.attn.hook_out"),
        ("blocks.5.hook_resid_mid", "blocks.5.hook_resid_mid"),
        ("blocks.5.attn.hook_z", "blocks.5.attn.hook_z"),
        ("gpt_neox.layers.1.mlp", "blocks.1.mlp.hook_out"),
        ("layer_3", None),
        ("AutoEncoder_trainer_0", None),
    ],
)
def test_names_of_sites_have_hook_points(name: str, hook: str | None) -> None:
    assert hook_of_site(name) == hook


def test_dictionary_learning_says_what_it_is(tmp_path: Path) -> None:
    run = tmp_path / "resid_post_layer_3" / "trainer_0"
    found = learned(run, SITE, buffer={"ctx_len": 128, "io": "out"})
    assert found.spec == "local:resid_post_layer_3/trainer_0"
    assert found.metadata == {
        "hook_name": "blocks.3.hook_resid_post",
        "model_name": "google/gemma-2-2b",
        "prepend_bos": True,
        "context_size": 128,
        "library": "dictionary_learning",
        "dict_class": "AutoEncoder",
    }
    # The folder says it where the trainer does not; the name given counts.
    other = {"cofire.json": {"hook_name": "blocks.4.hook_resid_post"}}
    unclear = put(tmp_path / "x", learn({"submodule_name": "resid_post_layer_4"}) | other)
    assert (unclear.metadata or {})["hook_name"] == "blocks.4.hook_resid_post"
    assert (learned(run, {}).metadata or {})["hook_name"] == "blocks.3.hook_resid_post"
    named = find_sae(f"mine:first={run}")
    assert (named.release, named.sae_id, named.directory) == ("mine", "first", run)
    old = tmp_path / "mlp_out_layer3" / "10_32768"
    assert learned(old, {"submodule_name": None}).spec == "local:mlp_out_layer3/10_32768"
    assert learned(tmp_path / "run" / "trainer_12", SITE).sae_id == "run/trainer_12"
    assert learned(tmp_path / "run" / "best", SITE).sae_id == "best"


def test_sparsify_says_what_it_is(tmp_path: Path) -> None:
    run = {"model": "EleutherAI/pythia-160m", "ctx_len": 2048}
    found = sparse(tmp_path / "run" / "layers.3.mlp", {}, **{"../config.json": run})
    assert found.spec == "local:run/layers.3.mlp"
    assert found.metadata == {
        "hook_name": "blocks.3.mlp.hook_out",
        "model_name": "EleutherAI/pythia-160m",
        "prepend_bos": True,
        "context_size": 2048,
        "library": "sparsify",
        "transcode": False,
    }
    seed = sparse(tmp_path / "run" / "layers.3" / "seed1", {})
    assert (seed.sae_id, (seed.metadata or {})["hook_name"]) == ("run/layers.3/seed1", "blocks.3.hook_resid_post")
    assert (seed.metadata or {})["model_name"] == "EleutherAI/pythia-160m"
    transcoder = sparse(tmp_path / "run" / "layers.4.mlp", {"transcode": True})
    assert (transcoder.metadata or {})["hook_name"] == "blocks.4.mlp.hook_in"
    assert sparse(tmp_path / "my run: 2\n" / "h.0", {}).sae_id == "my_run__2_/h.0"
    # EleutherAI/skip-transcoder-Llama-3.2-1B-131k, whose cfg.json knows no `transcode`.
    skips = sparse(tmp_path / "else" / "layers.5.mlp", {"skip_connection": True})
    assert (skips.metadata or {})["hook_name"] == "blocks.5.mlp.hook_in"
    winter = sparse(tmp_path / "run" / "layers.4.mlp", {"skip_connection": False})
    assert (winter.metadata or {})["hook_name"] == "blocks.4.mlp.hook_out"
    assert sparse(tmp_path / "else" / "layers.5", {"skip_connection": False}).sae_id == "else/layers.5"
    alone = sparse(tmp_path / "else" / "embed_tokens", {})
    assert alone.metadata == {"hook_name": "hook_embed", "prepend_bos": True, "library": "sparsify", "transcode": False}


@pytest.mark.parametrize(
    ("place", "hook", "model", "sae_id"),
    [
        (
            "gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82",
            "blocks.12.hook_resid_post",
            "google/gemma-2-2b",
            "gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82",
        ),
        (
            "models--google--gemma-scope-9b-it-res/snapshots/0123abc/layer_20/width_131k/average_l0_24",
            "blocks.20.hook_resid_post",
            "google/gemma-2-9b-it",
            "gemma-scope-9b-it-res/layer_20/width_131k/average_l0_24",
        ),
        ("gemma-scope-2b-pt-mlp/layer_0/width_16k/l", "blocks.0.ln2_post.hook_out", "google/gemma-2-2b", None),
        ("gemma-scope-27b-pt-att/layer_1/width_16k/l", "blocks.1.attn.hook_z", "google/gemma-2-27b", None),
        ("gemma-scope-2b-pt-transcoders/layer_1/width_16k/l", "blocks.1.mlp.hook_in", "google/gemma-2-2b", None),
        ("gemma-scope-2b-pt-res/embedding/width_4k/l", "blocks.0.hook_resid_pre", "google/gemma-2-2b", None),
    ],
)
def test_gemma_scope_is_known_by_its_place(
    tmp_path: Path, place: str, hook: str, model: str, sae_id: str | None
) -> None:
    found = put(tmp_path / place, {"params.npz": ""})
    metadata = found.metadata or {}
    assert (metadata["hook_name"], metadata["model_name"], metadata["context_size"]) == (hook, model, 1024)
    assert sae_id is None or found.spec == f"local:{sae_id}"


@pytest.mark.parametrize(
    ("point", "hook"),
    [
        ("model.layers.12.output", "blocks.12.hook_resid_post"),
        ("model.layers.12.self_attn.o_proj.input", "blocks.12.attn.hook_z"),
        ("model.layers.12.post_feedforward_layernorm.output", "blocks.12.ln2_post.hook_out"),
        ("model.layers.12.pre_feedforward_layernorm.output", "blocks.12.mlp.hook_in"),
    ],
)
def test_gemma_scope_2_says_its_hook_point(tmp_path: Path, point: str, hook: str) -> None:
    said = {"architecture": "jump_relu", "hf_hook_point_in": point, "model_name": "gemma-v3-1b-pt", "type": "sae"}
    place = tmp_path / "models--google--gemma-scope-2-1b-pt" / "snapshots" / "0a1b" / "resid_post" / "layer_12"
    found = put(place, {"params.safetensors": "", "config.json": said})
    metadata = found.metadata or {}
    assert (metadata["hook_name"], metadata["model_name"]) == (hook, "gemma-3-1b-pt")
    assert found.spec == "local:gemma-scope-2-1b-pt/resid_post/layer_12"


def test_the_user_s_file_counts_and_is_part_of_the_identity(tmp_path: Path) -> None:
    place = tmp_path / "layers.3"
    before = sparse(place, {})
    said = {"hook_name": "blocks.1.hook_resid_mid", "prepend_bos": False, "context_size": 32, "model_name": "mine"}
    after = sparse(place, {}, **{"cofire.json": said})
    assert {name: (after.metadata or {})[name] for name in said} == said
    assert after.weights_sha256 == before.weights_sha256
    assert after.config_sha256 != before.config_sha256
    # What does not change the SAE does not change who it is; where it lies may say what it reads.
    same = sparse(place, {"multi_topk": True}, **{"cofire.json": said})
    assert same.config_sha256 == after.config_sha256
    assert sparse(tmp_path / "layers.4", {}).config_sha256 != before.config_sha256
    assert sparse(place, {"k": 7}, **{"cofire.json": said}).config_sha256 != after.config_sha256


def test_a_directory_of_sae_lens_stays_one(tmp_path: Path) -> None:
    more = {"sae_weights.safetensors": "", "cfg.json": {"metadata": {"hook_name": "x"}}}
    found = put(tmp_path / "both", more | {"ae.pt": "", "sae.safetensors": "", "params.npz": ""})
    assert (found.spec, found.files) == ("local:both", None)


def learn(trainer: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ae.pt": "", "config.json": {"trainer": TRAINER | trainer} | more}


def spars(config: dict[str, Any], **own: Any) -> dict[str, Any]:
    return {"sae.safetensors": "", "cfg.json": SPARSE | config} | ({"cofire.json": own} if own else {})


WANTED = r"does not say which hook point its SAE reads: write it into .*cofire\.json, such as"
# name -> (folder, files, message)
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no config.json": ("a", {"ae.pt": ""}, r"it has no config\.json; copy it"),
    "no cfg.json": ("layers.3", {"sae.safetensors": ""}, r"it has no cfg\.json; copy it"),
    "no config.json of Gemma 3": ("a", {"params.safetensors": ""}, r"it has no config\.json; copy it"),
    "config.json is a list": ("a", {"ae.pt": "", "config.json": []}, "is not a JSON object"),
    "no trainer": ("a", {"ae.pt": "", "config.json": {"trainer": 3}}, "has no object trainer"),
    "no class": ("a", learn({"dict_class": None}), "trainer.dict_class is None, .*: known are AutoEncoder, "),
    "unknown class": ("a", learn({"dict_class": "CrossCoder"}), "dict_class is 'CrossCoder', which cannot"),
    "no name of a class": ("a", learn({"dict_class": ["x"]}), r"dict_class is \['x'\], which cannot"),
    "scaled": ("a", learn(SITE | {"norm_factor": 9.5}), r"norm_factor is 9\.5: .* scale the biases"),
    "no site": ("a/trainer_0", learn({}), WANTED),
    "inputs": ("a", learn(SITE, buffer={"io": "in"}), r"its SAE reads \(buffer\.io is 'in'\): write"),
    "two layers": ("a", learn({"submodule_name": "resid_post_layer_4"}), "layer is 3, but .* resid_post_layer_4"),
    "another folder": ("mlp_out_layer_5/trainer_0", learn({}), "layer is 3, but it was trained on mlp_out_layer_5"),
    "size": ("a", learn(SITE | {"dict_size": "40"}), "dict_size is '40', which"),
    "no k": ("a", learn(SITE | {"dict_class": "AutoEncoderTopK"}), r"does not say trainer\.k"),
    "signed": ("layers.3", spars({"signed": True}), "its activations are signed"),
    "groupmax": ("layers.3", spars({"activation": "groupmax"}), "is 'groupmax', which"),
    "no k of sparsify": ("layers.3", spars({"k": None}), "does not say k,"),
    "negative k": ("layers.3", spars({"k": -6}), "k is -6, which is no whole number"),
    "inside of an MLP": ("h.3.mlp.act", spars({}), WANTED),
    "what attention is given": ("layers.3.attn", spars({"transcode": True}), WANTED),
    "renamed": ("my_sae", spars({}), WANTED),
    "Gemma Scope elsewhere": ("layer_12/width_16k/average_l0_82", {"params.npz": ""}, WANTED),
    "Gemma Scope renamed": ("gemma-scope-2b-pt-res/twelve", {"params.npz": ""}, WANTED),
    "Gemma 3, another class": ("a", {"params.safetensors": "", "config.json": {"architecture": 3}}, "ure is 3, which"),
    "crosscoder": (
        "a",
        {"params.safetensors": "", "config.json": {"architecture": "jump_relu", "type": "crosscoder"}},
        "it is a crosscoder, which reads several layers",
    ),
    "all layers": (
        "a",
        {
            "params.safetensors": "",
            "config.json": {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.{all}.output"},
        },
        WANTED,
    ),
    "SAE or transcoder": (
        "layers.3.mlp",
        spars({"skip_connection": False}),
        r"config\.json beside .* SAE or a transcoder",
    ),
    "Gemma 3, no place": ("a", {"params.safetensors": "", "config.json": {"architecture": "jump_relu"}}, WANTED),
    "unknown word": ("layers.3", spars({}, hook="x"), "'hook' is unknown; known are hook_name"),
    "no text": ("layers.3", spars({}, hook_name=3), "hook_name is 3; give a text"),
    "no words": ("layers.3", spars({}, hook_name=""), "hook_name is ''; give a text"),
    "no whole number": ("layers.3", spars({}, context_size=True), "is True; give a whole number above 0"),
    "no context": ("layers.3", spars({}, context_size=1), "its context_size is 1; give at least 2"),
    "minus context": ("layers.3", spars({}, context_size=-8), "its context_size is -8; give at least 2"),
    "a run": ("run", {"layers.3/sae.safetensors": ""}, r"but below it: .* such as .*run/layers\.3$"),
    "far above": ("far", {"a/b/c/params.npz": ""}, "but below it: .* such as .*far/a/b/c$"),
    "too far above": ("far", {"a/b/c/d/params.npz": ""}, r"it has no cfg\.json; give a directory that sae-lens, dict"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_captured_gives_one_line(tmp_path: Path, name: str) -> None:
    place, files, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        put(tmp_path / place, files)
    assert "\n" not in str(caught.value)


def test_a_file_is_not_its_directory(tmp_path: Path) -> None:
    learned(tmp_path / "run" / "best", SITE)
    with pytest.raises(InputError, match=r"best/ae\.pt is a file: name the directory"):
        find_sae(str(tmp_path / "run" / "best" / "ae.pt"))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, json.dumps("x").encode()])
def test_damaged_configurations_give_one_line(tmp_path: Path, content: bytes) -> None:
    for folder, weights, config in [("a", "ae.pt", "config.json"), ("layers.3", "sae.safetensors", "cfg.json")]:
        place = tmp_path / folder
        place.mkdir()
        (place / weights).write_bytes(b"")
        (place / config).write_bytes(content)
        with pytest.raises(InputError, match=f"{config} is not (a )?JSON") as caught:
            find_sae(str(place))
        assert "\n" not in str(caught.value)
