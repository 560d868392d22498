"""Where joint firings are counted: this machine's processors or GPU, or a Ray cluster. It changes no result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from cofire.errors import InputError


@dataclass(frozen=True)
class Engine:
    """Where joint firings are counted.

    Attributes:
        name: 'local', or 'ray' for a cluster (docs/ray.md).
        address: of the cluster: None for one of this machine alone, 'auto', or HOST:PORT.
        device: 'cpu' or 'cuda', for the local engine. Ray gives each task a GPU where the cluster has some.
    """

    name: Literal["local", "ray"] = "local"
    address: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"

    def check(self) -> None:
        """Check what can be told without connecting.

        Raises:
            InputError: there is no such device, or an address is given without Ray.
        """
        if self.device == "cuda":
            from cofire.common.devices import choose_device

            choose_device(self.device)
        if self.name == "local" and self.address is not None:
            raise InputError("--address is of a Ray cluster: give --engine ray too, or leave it out")

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Be connected while inside, so that several captures share one connection.

        Raises:
            InputError: see `check`; or Ray is not installed.
            StoreError: the cluster cannot be reached.
        """
        self.check()
        if self.name == "local":
            yield
            return
        from cofire.ingest.pairs.ray_cluster import cluster

        with cluster(self.address):
            yield
