"""Every SAE of DIR/real against sae-lens used directly. Run by scripts/validate, which sets COFIRE_VALIDATE_DIR."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from cofire.ingest.capture import capture
from cofire.ingest.capture_dir.directory import CaptureDir
from reference import Reference, assert_capture_equals_encode

TOKENS = 4000


@pytest.fixture(scope="module")
def real() -> Path:
    given = os.environ.get("COFIRE_VALIDATE_DIR")
    if not given:
        pytest.fail("COFIRE_VALIDATE_DIR is not set: run scripts/validate DIR", pytrace=False)
    place = Path(given) / "real"
    if not list(place.glob("*/cfg.json")):
        pytest.fail(f"{place} holds no SAE", pytrace=False)
    return place


@pytest.fixture(scope="module")
def captured(real: Path, smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, CaptureDir]]:
    """One run of all SAEs."""
    directories = sorted(path.parent for path in real.glob("*/cfg.json"))
    out = tmp_path_factory.mktemp("real") / "out"
    found = capture(
        smollm2_dir, [str(path) for path in directories], real / "austen.jsonl.gz", out, tokens=TOKENS, device="cpu"
    )
    return list(zip(directories, found, strict=True))


def test_every_real_sae_equals_encode(real: Path, smollm2_dir: Path, captured: list[tuple[Path, CaptureDir]]) -> None:
    with gzip.open(real / "austen.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    reference = Reference.load(smollm2_dir)
    for directory, one in captured:
        assert_capture_equals_encode(one, reference, directory, texts, TOKENS)


def test_the_firing_rates_are_those_that_were_published(captured: list[tuple[Path, CaptureDir]]) -> None:
    """L0 of the README's table, on other text of the same sort: within a tenth."""
    published = {
        "L12_topk_2048": 32.0,
        "L12_batchtopk_2048": 32.1,
        "L12_matryoshka_2048": 32.1,
        "L12_jumprelu_2048": 15.2,
        "L18_batchtopk_2048": 32.3,
    }
    for directory, one in captured:
        l0 = sum(shard.firings for shard in one.manifest.shards) / one.manifest.rows
        if directory.name in published:
            assert l0 == pytest.approx(published[directory.name], rel=0.1), directory.name
