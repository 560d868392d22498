"""The SAEs of one run of `cofire capture`, and where the capture of each goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cofire.common.characters import brief
from cofire.errors import InputError
from cofire.ingest.capture_dir.directory import folder_name
from cofire.ingest.capture_dir.manifest import Manifest
from cofire.ingest.capturing.saes import LoadedSae, SaeSource

if TYPE_CHECKING:
    from cofire.ingest.capturing.running_counts import RunningCounts

CONTEXT = 128


@dataclass
class Place:
    """One SAE's capture.

    Attributes:
        source: the SAE.
        path: the capture directory.
        sae: the SAE, once it is loaded.
        manifest: the capture's manifest, once there is one.
        running: where no activations are stored, what is counted of them, while the run goes on.
    """

    source: SaeSource
    path: Path
    sae: LoadedSae | None = None
    manifest: Manifest | None = None
    running: RunningCounts | None = None

    @property
    def complete(self) -> bool:
        """True where nothing is left to do."""
        return self.manifest is not None and self.manifest.status == "complete"

    @property
    def loaded(self) -> LoadedSae:
        """The SAE, which must be loaded."""
        if self.sae is None:
            raise RuntimeError(f"the SAE {self.source.spec} is not loaded")
        return self.sae

    @property
    def begun(self) -> Manifest:
        """The manifest, which must be there."""
        if self.manifest is None:
            raise RuntimeError(f"the capture {self.path} has not begun")
        return self.manifest

    @property
    def done(self) -> int:
        """How many shards are stored or counted; those counted since the last checkpoint too."""
        return self.running.shards if self.running is not None else self.begun.done


def places_of(sources: list[SaeSource], out: Path) -> list[Place]:
    """Return where each SAE's capture goes: `out` itself for one SAE, a directory of its own in it for several.

    Raises:
        InputError: there is no SAE, or one is named twice.
    """
    if not sources:
        raise InputError("no SAE named: give --sae RELEASE:SAE_ID, a directory, or RELEASE:SAE_ID=DIR")
    if len(sources) == 1:
        return [Place(sources[0], out)]
    folders = [folder_name(source.release, source.sae_id) for source in sources]
    for number, (source, folder) in enumerate(zip(sources, folders, strict=True)):
        if folder in folders[:number]:
            raise InputError(_same_name(sources[folders.index(folder)], source))
    return [Place(source, out / folder) for source, folder in zip(sources, folders, strict=True)]


def _same_name(first: SaeSource, second: SaeSource) -> str:
    """Say why two SAEs cannot be captured together, and what to do."""
    if first.spec != second.spec:
        return (
            f"the captures of {first.spec} and {second.spec} would both be called "
            f"{folder_name(first.release, first.sae_id)}: capture them in separate runs, with an --out each"
        )
    places = [source.directory for source in (first, second) if source.directory is not None]
    if len(places) == 2 and places[0].resolve() != places[1].resolve():
        return (
            f"{places[0]} and {places[1]} have the same name {first.release}/{first.sae_id}: "
            "name them, --sae RELEASE:SAE_ID=DIR"
        )
    return f"the SAE {first.spec} is named twice: name each SAE once"


def agree(places: list[Place], context: int | None) -> tuple[bool, int]:
    """Return whether windows begin with BOS, and their length, from the metadata of all SAEs.

    Args:
        places: the SAEs.
        context: the length that the user wants; None for the smallest of the SAEs', else 128.

    Raises:
        InputError: the SAEs want different runs of the model.
    """
    metadata = [place.source.metadata or {} for place in places]
    bos = [bool(one.get("prepend_bos")) for one in metadata]
    for name, values in (
        ("prepend_bos", bos),
        ("model_from_pretrained_kwargs", [one.get("model_from_pretrained_kwargs") or {} for one in metadata]),
    ):
        for place, value in zip(places, values, strict=True):
            if value != values[0]:
                raise InputError(
                    f"the SAEs {places[0].source.spec} and {place.source.spec} differ in {name} "
                    f"({values[0]}, {value}): capture them in separate runs"
                )
    if context is not None:
        return bos[0], context
    sizes: list[int] = []
    for place, one in zip(places, metadata, strict=True):
        if size := one.get("context_size"):
            if type(size) is not int or size < 2:
                raise InputError(
                    f"SAE {place.source.spec} was trained with context_size {brief(repr(size), 40)}, which is no "
                    "number of tokens for a window: give --context"
                )
            sizes.append(size)
    return bos[0], min(sizes, default=CONTEXT)
