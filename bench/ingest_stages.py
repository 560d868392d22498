"""The stages of bench/ingest.py's whole ingestion: how long each takes inside a run."""

from __future__ import annotations

import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

from ingest_world import Span

from cofire.common.arrays import Ints

ON_DEVICE = ["model", "encode"]

# What is timed inside `full`: where it is called, the stage, and whether a longer text lengthens it.
STAGES = [
    ("cofire.ingest.capturing.model.LanguageModel.run", "model", True),
    ("cofire.ingest.capturing.saes.LoadedSae.encode", "encode", True),
    ("cofire.ingest.capture.find_model", "look at the model's directory", False),
    ("cofire.ingest.capture.find_sae", "look at the SAEs' directories", False),
    ("cofire.ingest.capturing.model.LanguageModel.check_hook", "try the hook point", False),
    ("cofire.ingest.capturing.model.LanguageModel.vocabulary", "text of every token id", False),
    ("cofire.ingest.capture.write_vocabulary", "vocabulary to Parquet", False),
    ("cofire.ingest.capturing.saes.LoadedSae.write_weights", "copy of the SAEs' weights", False),
    ("cofire.ingest.capturing.model.LanguageModel.tokenise", "tokenise", True),
    ("cofire.ingest.capture.write_tokens", "text to Parquet", True),
    ("cofire.ingest.capture.encode_shard", "batches, order of rows", True),
    ("cofire.ingest.capturing.encode._encode", "activations to CSR on the host", True),
    ("cofire.ingest.capture.select", "masking", True),
    ("cofire.ingest.capture.write_parquet", "shards to Parquet", True),
    ("cofire.ingest.capture.write_residuals", "residuals to float16", True),
    ("cofire.ingest.capture_dir.manifest.Manifest.write", "manifest", True),
    ("os.fsync", "flush to the disk", True),
    ("cofire.ingest.capture.sha256_of", "SHA-256 of the shards", True),
    (
        "cofire.ingest.capture_dir.table_files.sha256_of",
        "SHA-256 of inputs and tables",
        True,
    ),
    ("pyarrow.parquet.read_table", "read Parquet", True),
    ("cofire.ingest.count.first_pass", "count: firings", True),
    ("cofire.ingest.count.second_pass", "count: spread", True),
    ("cofire.ingest.noise.clear.capture_noise", "count: noise floor", True),
    ("cofire.ingest.count.tally", "count: pairs and strata", True),
    ("cofire.ingest.count.candidates", "count: pairs read out, those of an effect", True),
    ("cofire.ingest.edges.candidates.LeastExpected.reaching", "count: least E", True),
    ("cofire.ingest.edges.candidates.expected_joint", "count: E, V", True),
    ("cofire.ingest.edges.candidates.poisson_tail", "count: p", True),
    ("cofire.ingest.count.edges_table", "count: edge rule", True),
    ("cofire.ingest.count.direct_edges", "count: direct edges", True),
    ("cofire.ingest.count._conditionals", "count: conditionals", True),
    ("cofire.ingest.count._last_pass", "count: aligned histograms", True),
    ("cofire.ingest.latents.top_tokens.TokenCounter.add", "count: tokens of each latent", True),
    ("cofire.ingest.latents.top_tokens.TokenCounter.table", "count: table of tokens", True),
    ("cofire.ingest.latents.contexts.ContextSampler.add", "count: choice of contexts", True),
    ("cofire.ingest.latents.contexts.ContextSampler.table", "count: table of contexts", False),
    ("cofire.ingest.latents.passes.main_modes", "count: modes", False),
    ("cofire.ingest.count.centroids_table", "count: centroids", True),
    ("cofire.ingest.count.save_tables", "tables to Parquet", True),
]


class Stages:
    """How long each stage took, without the stages that it calls."""

    def __init__(self, wait: Callable[[], None], stages: Sequence[tuple[str, str, bool]] = STAGES) -> None:
        self.spans: dict[str, Span] = defaultdict(Span)
        self.runs: list[int] = []
        self._wait, self._stages = wait, stages
        self._inside: list[Span] = []
        self._thread = threading.get_ident()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Time the calls that are made inside."""
        with ExitStack() as held:
            for path, name, _ in self._stages:
                owner, attribute = _owner(path)
                held.enter_context(patch.object(owner, attribute, self.timed(name, getattr(owner, attribute))))
            yield

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its time added to the stage `name`."""
        on_device = name in ON_DEVICE

        def call(*given: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*given, **named)
            if name == "model":
                self.runs.append(fingerprint(given[1]))
            begun = Span.now()
            self._inside.append(Span())
            try:
                found = function(*given, **named)
                if on_device:
                    self._wait()
                return found
            finally:
                span = begun.since()
                if len(self._inside) > 1:
                    self._inside[-2].add(span)
                span.add(self._inside.pop(), -1)
                self.spans[name].add(span)

        return call


def _owner(path: str) -> tuple[Any, str]:
    """Return the module or class of a dotted name, and its last part."""
    parts = path.split(".")
    classes = [part for part in parts[:-1] if part[0].isupper()]
    owner: Any = import_module(".".join(parts[: -1 - len(classes)]))
    for name in classes:
        owner = getattr(owner, name)
    return owner, parts[-1]


def fingerprint(ids: Ints) -> int:
    """Return a number that tells batches of token ids apart."""
    return zlib.crc32(repr(ids.shape).encode() + ids.tobytes())
