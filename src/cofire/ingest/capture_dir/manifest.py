"""`manifest.json` of a capture: what the capture is, and how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cofire.common.files import AGAIN, write_text
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.layout import MANIFEST

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SaeInfo(_Part):
    """Who the SAE is: class, shape, hook point and the hashes of its files."""

    class_name: str | None = None
    architecture: str | None = None
    d_in: int | None = None
    hook: str | None = None
    layer: int | None = None
    neuronpedia_id: str | None = None
    weights_sha256: str | None = None
    config_sha256: str | None = None
    folded_decoder_norm: bool = False
    normalize_activations: str | None = None
    apply_b_dec_to_input: bool | None = Field(default=None, description="None where it was not recorded")
    rescale_acts_by_decoder_norm: bool = False
    source: str | None = Field(default=None, description="directory or registry entry that it was loaded from")
    metadata: dict[str, Any] = Field(default_factory=dict)


class ModelInfo(_Part):
    """Who the language model is."""

    name: str
    source: str | None = None
    n_layers: int | None = None
    d_model: int | None = None
    weights_sha256: str | None = None
    looks_ahead: bool | None = Field(
        default=None, description="tokens behind another change its activation; None where it was not looked at"
    )


class TextInfo(_Part):
    """The text: where it came from, how much of it, and the hash of its tokens."""

    sources: list[str] = Field(default_factory=list)
    documents: int
    tokens: int
    sha256: str | None = None


class Masking(_Part):
    """Which tokens were left out of every count, by which rule, and how many."""

    rule: str
    special_tokens: int = 0
    norm_outliers: int = 0
    norm_limit: float | None = None
    kept: int


class ResidualInfo(_Part):
    """The residuals of one shard: their file, number of rows (tokens) and hash."""

    file: str
    rows: int
    sha256: str


class ShardInfo(_Part):
    """One shard: its file, number of rows (tokens) and of activations, its hash, and its residuals if stored."""

    file: str
    rows: int
    firings: int
    sha256: str
    residuals: ResidualInfo | None = None

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of each of its files by their name: the shard's, and its residuals' if stored."""
        return {one.file: one.sha256 for one in (self, self.residuals) if one is not None}


class CountsInfo(_Part):
    """What a capture that stores no activations holds instead: running counts (`running_counts`) of its whole shards.

    The manifest decides: only the folder that it names counts, up to the shard that it names.
    """

    folder: str
    shards: int
    rows: int
    firings: int
    sha256: dict[str, str] = Field(description="of each file, by its path in the folder")

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of each of its files by their path in the capture."""
        return {f"{self.folder}/{name}": sha256 for name, sha256 in self.sha256.items()}


class Manifest(_Part):
    """`manifest.json`: what the capture is, and how it was made."""

    format: int = FORMAT
    status: Literal["running", "complete"] = "running"
    kind: Literal["capture", "import"] = "capture"
    release: str
    sae_id: str
    n_latents: int
    sae: SaeInfo
    model: ModelInfo | None = None
    text: TextInfo
    settings: dict[str, Any] = Field(default_factory=dict)
    masking: Masking
    shards: list[ShardInfo] = Field(default_factory=list)
    counts: CountsInfo | None = Field(default=None, description="in the place of shards, where none are stored")
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The SAE's uid, RELEASE/SAE_ID."""
        return f"{self.release}/{self.sae_id}"

    @property
    def rows(self) -> int:
        """T: the number of counted tokens in the whole shards."""
        return self.counts.rows if self.counts else sum(shard.rows for shard in self.shards)

    @property
    def firings(self) -> int:
        """The number of activations in the whole shards."""
        return self.counts.firings if self.counts else sum(shard.firings for shard in self.shards)

    @property
    def done(self) -> int:
        """How many shards are whole, stored or counted."""
        return self.counts.shards if self.counts else len(self.shards)

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of every file of activations, residuals and running counts by its path in the capture."""
        counted = {} if self.counts is None else self.counts.hashes
        return {file: sha256 for shard in self.shards for file, sha256 in shard.hashes.items()} | counted

    def write(self, capture: Path) -> None:
        """Write the manifest into a capture directory, atomically."""
        write_text(capture / MANIFEST, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, capture: Path) -> Manifest:
        """Read the manifest of a capture directory, finished or not.

        Raises:
            CaptureError: there is none, it is damaged, or it was written by a newer cofire.
        """
        path = capture / MANIFEST
        if not path.is_file():
            raise CaptureError(
                f"{capture} is not a capture: it has no {MANIFEST}; make one with `cofire capture` or `cofire import`"
            )
        try:
            manifest = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else None
            if first and first["type"] == "extra_forbidden":
                raise CaptureError(
                    f"{path} has {'.'.join(map(str, first['loc']))}, which this cofire does not know: "
                    "it was made by a newer one, which reads it"
                ) from error
            where = f" ({'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']})" if first else ""
            raise CaptureError(f"{path} is damaged{where}; {AGAIN}") from error
        if manifest.format != FORMAT:
            raise CaptureError(
                f"{path} has format {manifest.format}, this cofire reads {FORMAT}; capture again or use another cofire"
            )
        return manifest


LONGEST_NAME = 1000
"""Characters, of up to 4 bytes each: a uid is made of two names, and must stay below `LONGEST_TEXT` bytes."""
LARGEST_NUMBER = 2**31 - 1


def check_identity(release: str, sae_id: str) -> None:
    """Refuse a release or SAE id that could not be part of a uid.

    Raises:
        InputError: one is empty or longer than LONGEST_NAME, holds white space, a colon or a control character, or
            starts or ends with a slash.
    """
    for what, text in (("release", release), ("SAE id", sae_id)):
        plain = text.isprintable() and not any(c.isspace() or c == ":" for c in text)
        if len(text) > LONGEST_NAME:
            raise InputError(f"{what} {text[:40]}... has {len(text):,} characters; {LONGEST_NAME:,} are the most")
        if not text or not plain or text.strip("/") != text or "//" in text:
            raise InputError(
                f"{what} {text!r} cannot name an SAE: use letters, digits and marks, no spaces, no colon, "
                "no slash at either end"
            )


def check_reading(model: str | None, hook: str | None, layer: int | None) -> None:
    """Refuse a model's name, a hook point or a layer that no store takes.

    Raises:
        InputError: a text is empty, longer than LONGEST_NAME, or has a control character or a surrogate; or the layer
            is not within 0..2^31 - 1.
    """
    for what, text in (("model", model), ("hook", hook)):
        if text is None:
            continue
        if len(text) > LONGEST_NAME:
            raise InputError(f"{what} {text[:40]!r}... has {len(text):,} characters; {LONGEST_NAME:,} are the most")
        if not text.strip() or not text.isprintable():
            raise InputError(f"{what} {text!r} is no name: use letters, digits, marks and blanks, or leave it out")
    if layer is not None and not 0 <= layer <= LARGEST_NUMBER:
        raise InputError(f"the layer is not between 0 and {LARGEST_NUMBER:,}; give the one that the SAE reads")
