"""Whether a capture goes on with the text that it began with: files, directories of datasets, datasets of the hub."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cofire.cli import run as run_command
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture import capture
from cofire.ingest.capture_dir.directory import find_captures
from cofire.ingest.capture_dir.manifest import Manifest
from differing import differing, files_of
from tiny_models import save_model, save_sae

RUN: dict[str, Any] = {"device": "cpu", "tokens": 40}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and two SAEs."""
    place = tmp_path_factory.mktemp("tiny")
    save_model(place / "model")
    save_sae(place / "sae")
    save_sae(place / "other", seed=1)
    return place


def rows(directory: Path, *texts: str) -> str:
    import pandas as pd

    directory.mkdir(exist_ok=True)
    pd.DataFrame({"text": texts}).to_parquet(directory / "train.parquet")
    return f"hf:{directory}"


def test_a_dataset_whose_files_changed_is_another_text(place: Path, tmp_path: Path) -> None:
    text = rows(tmp_path / "data", "hello world", "two more words")
    said: list[str] = []
    run = RUN | {"notice": said.append}
    capture(place / "model", [str(place / "sae")], text, tmp_path / "out", **run)
    before = files_of(tmp_path / "out")
    capture(place / "model", [str(place / "sae")], text, tmp_path / "out", **run)
    # It may stand elsewhere.
    moved = shutil.copytree(tmp_path / "data", tmp_path / "moved")
    capture(place / "model", [str(place / "sae")], f"hf:{moved}", tmp_path / "out", **run)
    rows(tmp_path / "data", "hello world", "two more word!")
    with pytest.raises(CaptureError, match=r"was captured with another text .*--force deletes this capture"):
        capture(place / "model", [str(place / "sae")], text, tmp_path / "out", **run)
    assert (said, differing(files_of(tmp_path / "out"), before)) == ([], [])


def test_a_capture_of_an_earlier_cofire_is_still_known_by_the_dataset_s_name(place: Path, tmp_path: Path) -> None:
    """That one recorded the name alone, so that what the files held cannot be compared."""
    text = rows(tmp_path / "data", "hello world", "two more words")
    (made,) = capture(place / "model", [str(place / "sae")], text, tmp_path / "out", **RUN)
    made.manifest.settings["text"] = hashlib.sha256(f"{text}:train".encode()).hexdigest()
    made.manifest.write(made.path)
    before = files_of(tmp_path / "out")
    said: list[str] = []
    capture(place / "model", [str(place / "sae")], text, tmp_path / "out", **RUN, notice=said.append)
    why = "an earlier cofire did not record its files"
    assert said == [f"note: whether {text} is still the text of {tmp_path / 'out'} was not compared ({why})"]
    assert differing(files_of(tmp_path / "out"), before) == []
    with pytest.raises(CaptureError, match="another text"):
        capture(place / "model", [str(place / "sae")], text + ":test", tmp_path / "out", **RUN)


class Hub:
    """A hub that has one dataset, at one revision at a time; no network is asked."""

    def __init__(self, patch: pytest.MonkeyPatch, directory: Path) -> None:
        import datasets

        load = datasets.load_dataset

        def load_dataset(name: str, *, split: str, streaming: bool, revision: str | None) -> Any:
            assert name == "org/data"
            self.read.append(revision)
            return load(str(directory), split=split, streaming=streaming)

        self.revision: str | None = "a" * 40
        self.read: list[str | None] = []
        patch.setattr("datasets.load_dataset", load_dataset)
        patch.setattr("huggingface_hub.HfApi.dataset_info", self.info)

    def info(self, name: str, timeout: float) -> SimpleNamespace:
        if self.revision is None:
            raise ConnectionError("no network")
        return SimpleNamespace(sha=self.revision)


def test_a_dataset_of_the_hub_is_read_and_compared_at_its_revision(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(tmp_path / "data", "hello world", "two more words")
    hub, text, out = Hub(monkeypatch, tmp_path / "data"), "hf:org/data", tmp_path / "out"
    said: list[str] = []
    given = (place / "model", [str(place / "sae")], text, out)
    first = hub.revision
    (made,) = capture(*given, **RUN, notice=said.append)
    assert (hub.read, made.manifest.settings["text_revision"], said) == ([first], first, [])
    # The hub cannot be asked: the capture is still there, and it is said that nothing was compared.
    hub.revision = None
    before = files_of(out)
    capture(*given, **RUN, notice=said.append)
    assert said == [f"note: whether {text} is still the text of {out} was not compared (no network)"]
    # It has its whole text: what is committed to the hub since then is another's.
    hub.revision = "b" * 40
    said.clear()
    capture(*given, **RUN, notice=said.append)
    assert said == [f"note: {text} is at revision {'b' * 40} now; {out} has its text of {first} and goes on with that"]
    assert (differing(files_of(out), before), hub.read) == ([], [first])
    # What has no text yet would read another.
    bare = Manifest.read(out).model_copy(update={"status": "running", "shards": []})
    bare.text.sha256 = None
    (tmp_path / "bare").mkdir()
    bare.write(tmp_path / "bare")
    with pytest.raises(CaptureError, match=r"another text \(revision\) \(a{40}, now b{40}\): give another --out"):
        capture(*given[:3], tmp_path / "bare", **RUN)
    # One that an earlier cofire made has no revision.
    del made.manifest.settings["text_revision"]
    made.manifest.write(out)
    said.clear()
    capture(*given, **RUN, notice=said.append)
    assert said == [f"note: whether {text} is still the text of {out} was not compared (its revision was not recorded)"]
    # Without the hub a new capture says that it does not know what it reads.
    hub.revision = None
    said.clear()
    (blind,) = capture(*given[:3], tmp_path / "blind", **RUN, notice=said.append)
    assert (hub.read[-1], "text_revision" in blind.manifest.settings) == (None, False)
    assert said == [f"note: the revision of {text} is not known and not recorded (no network)"]
    # Unknown twice is not the same.
    said.clear()
    capture(*given[:3], tmp_path / "blind", **RUN, notice=said.append)
    assert said == [f"note: whether {text} is still the text of {tmp_path / 'blind'} was not compared (no network)"]


class Stop:
    """Interrupt when the first tokens are captured, or before."""

    def __init__(self, first: int = 1) -> None:
        self.left = first

    def start(self, total: int) -> None:
        if not self.left:
            raise KeyboardInterrupt

    def advance(self, tokens: int) -> None:
        raise KeyboardInterrupt


def test_captures_of_several_texts_are_not_gone_on_with_in_one_run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all of them would have the activations of the first one's text."""
    hub, text, out = Hub(monkeypatch, tmp_path / "data"), "hf:org/data", tmp_path / "out"
    hub.revision = None
    saes = {name: f"r:{name}={place / name}" for name in ("sae", "other")}
    saes["third"] = f"r:third={place / 'sae'}"

    def begin(words: str, *names: str) -> None:
        rows(tmp_path / "data", words)
        with pytest.raises(KeyboardInterrupt):
            capture(place / "model", [saes[name] for name in names], text, out, **RUN, progress=Stop())

    begin("hello world", "sae", "third")
    shutil.rmtree(out / "r__third")
    begin("two more words", "other", "third")
    before, both = files_of(out), [saes["sae"], saes["other"]]
    said: list[str] = []
    paths = f"{out / 'r__sae'}, {out / 'r__other'}"
    with pytest.raises(CaptureError, match=r"r__sae and .*r__other were begun with different texts: capture"):
        capture(place / "model", both, text, out, **RUN, notice=said.append)
    assert differing(files_of(out), before) == []
    assert said == [f"note: whether {text} is still the text of {paths} was not compared (no network)"]


def test_an_sae_that_joins_reads_the_revision_that_the_others_have(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(tmp_path / "data", "hello world")
    hub, out = Hub(monkeypatch, tmp_path / "data"), tmp_path / "out"
    saes = [f"r:{name}={place / name}" for name in ("sae", "other")]
    capture(place / "model", saes, "hf:org/data", out, **RUN)
    shutil.rmtree(out / "r__other")
    hub.revision = "b" * 40
    made = capture(place / "model", saes, "hf:org/data", out, **RUN)
    assert hub.read == ["a" * 40] * 2
    assert [one.manifest.settings["text_revision"] for one in made] == ["a" * 40] * 2


def test_an_sae_that_joins_records_the_text_that_it_is_given(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first SAE's capture, made without the hub, is not known to be of the revision that the hub has now."""
    rows(tmp_path / "data", "hello world", "two more words")
    hub, out = Hub(monkeypatch, tmp_path / "data"), tmp_path / "out"
    saes = [f"r:{name}={place / name}" for name in ("sae", "other")]
    hub.revision = None

    with pytest.raises(KeyboardInterrupt):
        capture(place / "model", saes, "hf:org/data", out, **RUN, progress=Stop(0))
    shutil.rmtree(out / "r__other")
    hub.revision = "b" * 40
    made = capture(place / "model", saes, "hf:org/data", out, **RUN)
    assert [("text_revision" in one.manifest.settings) for one in made] == [False, False]
    assert len({one.manifest.text.sha256 for one in made}) == 1


def test_rows_that_are_no_text_and_files_that_are_damaged_give_one_line(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, (name, content, message) in enumerate(
        [
            ("train.parquet", b"PAR1 and no more", "cannot read the dataset .* after 0 rows"),
            ("train.parquet", b"", "cannot read the dataset"),
            ("train.jsonl", b'{"text": "cut \\ud83d"}\n', "cannot read the dataset .*surrogate"),
            ("train.jsonl", b'{"text": "caf\xe9"}\n', "cannot read the dataset .*utf-8"),
            ("train.jsonl", b'{"text": null, "n": 1}\n', "train:0 has no string in the field 'text'"),
            ("train.csv", b"", "cannot read the dataset"),
            ("notes.bin", b"x", "cannot read the dataset"),
            ("test.jsonl", b'{"text": "x"}\n', "Bad split: train"),
        ]
    ):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / name).write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            capture(place / "model", [str(place / "sae")], f"hf:{directory}", tmp_path / "out", **RUN)
        assert len(str(caught.value)) < 500
        assert not (tmp_path / "out").exists()
    assert capfd.readouterr() == ("", "")


def test_rows_that_take_a_package_of_their_own_give_one_line(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of sounds take torchcodec."""
    text = rows(tmp_path / "data", "hello world")

    def load_dataset(*_: object, **__: object) -> object:
        raise ImportError("To support decoding audio data, please install 'torchcodec'.")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(InputError, match=r"0 rows \(To support .*'torchcodec'\.\): see to that, or") as caught:
        capture(place / "model", [str(place / "sae")], text, tmp_path / "out", **RUN)
    assert "split and files" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_long_file_is_captured_in_parts(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr("cofire.ingest.capturing.pieces.PIECE", 100)
    (tmp_path / "long.txt").write_text("w" * 250)
    run = RUN | {"tokens": 130}
    (one,) = capture(place / "model", [str(place / "sae")], tmp_path / "long.txt", tmp_path / "out", **run)
    kept = pq.read_table(one.path / "text.parquet")
    assert kept.column("name").to_pylist() == ["long.txt (part 1)", "long.txt (part 2)"]
    assert [len(tokens) for tokens in kept.column("tokens").to_pylist()] == [100, 30]
    # What an earlier cofire made of the same bytes, one document, is complete for the same command.
    before = files_of(one.path)
    monkeypatch.setattr("cofire.ingest.capturing.pieces.PIECE", 2**20)
    (again,) = capture(place / "model", [str(place / "sae")], tmp_path / "long.txt", tmp_path / "out", **run)
    assert (again.manifest.text.documents, differing(files_of(again.path), before)) == (2, [])


def test_the_command_line_prints_the_notices(place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sae = save_sae(tmp_path / "sae", model_name="gemma-2-2b")
    (tmp_path / "a.txt").write_text("hello there")
    given = ["--model", str(place / "model"), "--sae", str(sae), "--text", str(tmp_path / "a.txt")]
    assert run_command(["capture", *given, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[0].startswith("note: the SAE local:sae says that it reads the model gemma-2-2b")


def test_two_saes_of_one_directory_name_are_told_how_to_be_named(place: Path, tmp_path: Path) -> None:
    for run in ("run1", "run2"):
        shutil.copytree(place / ("sae" if run == "run1" else "other"), tmp_path / run / "output")
    (tmp_path / "a.txt").write_text("hello there")
    both = [str(tmp_path / run / "output") for run in ("run1", "run2")]
    with pytest.raises(InputError, match=f"{both[0]} and {both[1]} have the same name local/output: name them"):
        capture(place / "model", both, tmp_path / "a.txt", tmp_path / "out", **RUN)
    assert not (tmp_path / "out").exists()
    named = [f"mine:{number}={sae}" for number, sae in enumerate(both)]
    assert len(capture(place / "model", named, tmp_path / "a.txt", tmp_path / "out", **RUN)) == 2
    (one,) = capture(place / "model", both[:1], tmp_path / "a.txt", tmp_path / "one", **RUN)
    with pytest.raises(CaptureError, match=r"another SAE weights .*another --out; --force deletes this capture"):
        capture(place / "model", both[1:], tmp_path / "a.txt", tmp_path / "one", **RUN)
    assert Manifest.read(tmp_path / "one") == one.manifest
    with pytest.raises(
        InputError, match=f"{tmp_path / 'one'} and {tmp_path / 'two'} are captures of two SAEs of the same"
    ):
        find_captures(
            [one.path, capture(place / "model", both[1:], tmp_path / "a.txt", tmp_path / "two", **RUN)[0].path]
        )
    shutil.copytree(one.path, tmp_path / "copy")
    with pytest.raises(InputError, match="the SAE local/output is captured twice"):
        find_captures([one.path, tmp_path / "copy"])


def test_a_capture_does_not_become_part_of_its_text(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be another text at the next look."""
    rows(tmp_path / "data", "hello world")
    monkeypatch.chdir(tmp_path / "data")
    for text, out in [("hf:.", "out"), (f"hf:{tmp_path / 'data'}", tmp_path / "other" / ".." / "data" / "out")]:
        with pytest.raises(InputError, match=r"lies in the directory of the dataset hf:.*give an --out outside of it"):
            capture(place / "model", [str(place / "sae")], text, out, **RUN)
    assert [path.name for path in Path().iterdir()] == ["train.parquet"]
    assert capture(place / "model", [str(place / "sae")], "hf:.", tmp_path / "out", **RUN)
