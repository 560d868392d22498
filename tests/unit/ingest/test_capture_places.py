from __future__ import annotations

import json
import re
import resource
from pathlib import Path

import pytest

from builders import make_capture, random_arrays
from cofire.common.devices import choose_device
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.manifest import Manifest, Masking, ModelInfo, SaeInfo, TextInfo
from cofire.ingest.capturing.dataset import find_dataset
from cofire.ingest.capturing.model import find_model
from cofire.ingest.capturing.places import agree, places_of
from cofire.ingest.capturing.resume import check_place, check_root, clear, compare, compared_text, facts
from cofire.ingest.capturing.saes import find_sae

SETTINGS = {"tokens": 10, "dtype": "float32"}


def make_manifest(place: Path) -> Manifest:
    manifest = Manifest(
        release="r",
        sae_id="a/b",
        n_latents=4,
        sae=SaeInfo(weights_sha256="w", config_sha256="c"),
        model=ModelInfo(name="m", weights_sha256="h"),
        text=TextInfo(documents=0, tokens=0),
        settings=SETTINGS,
        masking=Masking(rule="none", kept=0),
    )
    place.mkdir(parents=True, exist_ok=True)
    manifest.write(place)
    return manifest


def test_an_equal_run_goes_on(tmp_path: Path) -> None:
    wanted = facts("r", "a/b", ("w", "c"), ("m", "h"), SETTINGS)
    assert compare(tmp_path, wanted) is None
    manifest = make_manifest(tmp_path)
    assert compare(tmp_path, wanted) == manifest


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (facts("r", "other", ("w", "c"), ("m", "h"), SETTINGS), "SAE"),
        (facts("r", "a/b", ("W", "c"), ("m", "h"), SETTINGS), "SAE weights"),
        (facts("r", "a/b", ("w", "C"), ("m", "h"), SETTINGS), "SAE configuration"),
        (facts("r", "a/b", ("w", "c"), ("n", "h"), SETTINGS), "model"),
        (facts("r", "a/b", ("w", "c"), ("m", "H"), SETTINGS), "model files"),
        (facts("r", "a/b", ("w", "c"), ("m", "h"), SETTINGS | {"tokens": None}), "tokens"),
        (facts("r", "a/b", ("w", "c"), ("m", "h"), SETTINGS | {"new": 1}), "new"),
        (facts("r", "a/b", ("w", "c"), ("m", "h"), {"tokens": 10}), "dtype"),
    ],
)
def test_another_run_is_told_what_differs(tmp_path: Path, wanted: dict[str, object], name: str) -> None:
    make_manifest(tmp_path)
    with pytest.raises(CaptureError, match=f"with another {name} .*--force deletes this capture"):
        compare(tmp_path, wanted)


def test_a_text_is_compared_as_far_as_it_is_known(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    manifest.settings = {"text": "t", "text_revision": "a"}
    manifest.write(tmp_path)

    def wanted(**settings: str) -> dict[str, object]:
        return facts("r", "a/b", ("w", "c"), ("m", "h"), settings)

    for settings, known in [({"text": "t", "text_revision": "a"}, True), ({"text": "t"}, False)]:
        found = compare(tmp_path, wanted(**settings))
        assert found is not None
        assert compared_text(found, settings, hub=True) == known
    found = compare(tmp_path, wanted(text="new", text_revision="a"), earlier_text="t")
    assert found is not None
    assert not compared_text(found, {"text": "new", "text_revision": "a"}, hub=True)
    unknown = found.model_copy(update={"settings": {"text": "t"}})
    assert [compared_text(unknown, {"text": "t"}, hub=hub) for hub in (True, False)] == [False, True]
    for other, name in [
        (wanted(text="t", text_revision="b"), r"text \(revision\)"),
        (wanted(text="new", text_revision="a"), "text"),
    ]:
        with pytest.raises(CaptureError, match=f"with another {name} "):
            compare(tmp_path, other, earlier_text="x")


def test_a_manifest_of_a_newer_cofire_is_not_called_damaged(tmp_path: Path) -> None:
    """The advice would be --force, which deletes it."""
    make_manifest(tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text())
    for changed, message in [
        (content | {"later": 1}, r"has later, which this cofire does not know: it was made by a newer one"),
        (content | {"text": content["text"] | {"later": 1}}, r"has text\.later, which"),
    ]:
        (tmp_path / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(CaptureError, match=message) as caught:
            Manifest.read(tmp_path)
        assert "--force" not in str(caught.value)


def test_places_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    check_place(tmp_path / "absent")
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="is a file"):
        check_place(file)
    with pytest.raises(InputError, match="holds file and is not a capture"):
        check_place(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "manifest.json").write_text(json.dumps({"name": "a web app"}))
    with pytest.raises(InputError, match=r"holds manifest\.json and is not a capture"):
        check_place(theirs)


def test_a_killed_start_and_a_damaged_capture_are_ours(tmp_path: Path) -> None:
    (tmp_path / "manifest.json.part").write_text("{")
    check_place(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    (tmp_path / "manifest.json.part").unlink()
    (tmp_path / "shards").mkdir()
    check_place(tmp_path)


def test_a_root_holds_captures_only(tmp_path: Path) -> None:
    check_root(tmp_path / "absent", [])
    make_manifest(tmp_path / "one")
    (tmp_path / "two").mkdir()
    check_root(tmp_path, ["two"])
    with pytest.raises(InputError, match="holds two, which is not a capture"):
        check_root(tmp_path, ["three"])
    with pytest.raises(InputError, match="capture of one SAE"):
        check_root(tmp_path / "one", [])


def test_clearing_leaves_what_is_not_ours(tmp_path: Path) -> None:
    place = tmp_path / "capture"
    make_manifest(place)
    for name in ("shards/shard-00000.parquet", "tables/edges.parquet", "text.parquet", "shards/mine.txt", "notes.md"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("x")
    clear(place)
    assert sorted(p.relative_to(place).as_posix() for p in place.rglob("*")) == [
        "notes.md",
        "shards",
        "shards/mine.txt",
    ]
    make_manifest(tmp_path / "whole")
    clear(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def write_sae(directory: Path, config: object) -> Path:
    directory.mkdir()
    (directory / "cfg.json").write_text(json.dumps(config))
    (directory / "sae_weights.safetensors").write_bytes(b"")
    return directory


def test_an_sae_is_named_in_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = write_sae(tmp_path / "named", {"metadata": {"release": "rel", "sae_id": "a/b", "context_size": 64}})
    plain = write_sae(tmp_path / "plain", {"hook_name": "blocks.0.hook_resid_pre", "context_size": 32})
    found = find_sae(str(named))
    assert (found.release, found.sae_id, found.directory) == ("rel", "a/b", named)
    assert found.metadata == {"release": "rel", "sae_id": "a/b", "context_size": 64}
    assert find_sae(f"mine:c/d={named}").spec == "mine:c/d"
    # sae-lens before 6 has the metadata at the top, and BOS as its default.
    old = find_sae(str(plain))
    assert old.spec == "local:plain"
    assert old.metadata is not None
    assert old.metadata["prepend_bos"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_sae("mine:c/d=~/named").directory == named
    assert find_sae("~/named").directory == named
    registered = find_sae("gpt2-small-res-jb:blocks.8.hook_resid_pre")
    assert (registered.spec, registered.directory) == ("gpt2-small-res-jb:blocks.8.hook_resid_pre", None)


def test_saes_of_one_name_are_told_apart_or_how_to(tmp_path: Path) -> None:
    for run in ("run1", "run2"):
        (tmp_path / run).mkdir()
        write_sae(tmp_path / run / "output", {"hook_name": run})
    one, two = (str(tmp_path / run / "output") for run in ("run1", "run2"))
    (tmp_path / "link").symlink_to(one)
    for saes, message in [
        ((one, two), f"{one} and {two} have the same name local/output: name them, --sae RELEASE:SAE_ID=DIR"),
        ((f"r:i={one}", f"r:i={two}"), f"{one} and {two} have the same name r/i: name them"),
        ((one, one), "the SAE local:output is named twice: name each SAE once"),
        ((one, f"local:output={tmp_path / 'link'}"), "the SAE local:output is named twice"),
        (("r:i", "r:i"), "the SAE r:i is named twice"),
        ((one, two, two), "have the same name local/output"),
        (
            (f"r:a/b={one}", f"r:a__b={two}"),
            "r:a/b and r:a__b would both be called r__a__b: capture them in separate runs",
        ),
    ]:
        with pytest.raises(InputError, match=re.escape(message)):
            places_of([find_sae(sae) for sae in saes], tmp_path / "out")
    named = [find_sae(spec) for spec in (one, f"r:i={two}")]
    assert [place.path.name for place in places_of(named, tmp_path / "out")] == ["local__output", "r__i"]


def test_saes_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    broken = write_sae(tmp_path / "broken", {})
    (broken / "cfg.json").write_text("{")
    for spec, message in [
        ("nothing", "no SAE 'nothing': no such directory, and not RELEASE:SAE_ID"),
        ("", "no SAE ''"),
        ("release:", "not RELEASE:SAE_ID"),
        (f"={tmp_path}", "not RELEASE:SAE_ID"),
        (":id", "not RELEASE:SAE_ID"),
        ("a b:id", "cannot name an SAE"),
        ("r:id=nowhere", "no SAE at 'nowhere'"),
        (str(tmp_path / "empty"), r"it has no cfg\.json"),
        (str(broken), "is not JSON"),
    ]:
        with pytest.raises(InputError, match=message):
            find_sae(spec)


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory"):
        find_model("./nowhere")
    # No such user: nothing that Python's own message would explain.
    for find, named in (
        (find_model, "~nobody-here/x"),
        (find_sae, "r:i=~nobody-here/x"),
        (find_dataset, "~nobody-here/x"),
    ):
        with pytest.raises(InputError, match="no such directory"):
            find(named)
    with pytest.raises(InputError, match=r"it has no config\.json"):
        find_model(tmp_path)
    with pytest.raises(InputError, match="no model named"):
        find_model("")
    assert find_model("org/name").weights_sha256 is None
    with pytest.raises(InputError, match="--device gpu is unknown"):
        choose_device("gpu")


def test_a_model_is_known_by_its_files(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text(name)
    first = find_model(tmp_path)
    assert (first.name, first.source) == (tmp_path.name, str(tmp_path))
    (tmp_path / "README.md").write_text("x")
    assert find_model(tmp_path) == first
    (tmp_path / "tokenizer.json").write_text("other")
    assert find_model(tmp_path).weights_sha256 != first.weights_sha256


def test_what_an_sae_says_of_its_windows_is_checked(tmp_path: Path) -> None:
    def context(size: object, given: int | None = None) -> int:
        directory = tmp_path / f"sae{len(list(tmp_path.iterdir()))}"
        source = find_sae(str(write_sae(directory, {"metadata": {"context_size": size}})))
        return agree(places_of([source], tmp_path / "out"), given)[1]

    assert [context(64), context(None), context(0), context("many", 32)] == [64, 128, 128, 32]
    for size in (1, -4, "many", 16.5, [128], True):
        with pytest.raises(InputError, match=r"with context_size .*, which is no number of tokens .*give --context"):
            context(size)
    deep = write_sae(tmp_path / "deep", {})
    (deep / "cfg.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not JSON"):
        find_sae(str(deep))
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not a capture"):
        check_place(tmp_path)


def test_a_capture_that_cannot_be_read_now_is_not_to_be_deleted(tmp_path: Path) -> None:
    """Only a damaged one is to be made again: too many open files, as on a cluster's node, say nothing of the file."""
    capture = make_capture(tmp_path, random_arrays(0))
    list(capture.shards())
    shard = capture.path / capture.manifest.shards[0].file
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(CaptureError, match=r"cannot be read .*Too many open files.* may be whole") as caught:
            list(capture.shards())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "--force" not in str(caught.value)
    shard.write_bytes(b"PAR1")
    with pytest.raises(CaptureError, match=r"cannot be read .*; make it again: .* --force deletes"):
        list(capture.shards())
