"""Where joint firings are counted: this machine's processors or GPU, or a Ray cluster. It changes no result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from cofire.common.settings import setting
from cofire.errors import InputError


@dataclass(frozen=True)
class Engine:
    """Where joint firings are counted. Ray (docs/ray.md) gives each task a GPU where the cluster has some."""

    engine: Literal["local", "ray"] = setting("local", "where pairs are counted")
    address: str | None = setting(None, "Ray cluster, auto or HOST:PORT; without it, one of this machine")
    device: Literal["cpu", "cuda"] = setting("cpu", "what counts pairs, with the local engine")

    def check(self) -> None:
        """Check what can be told without connecting.

        Raises:
            InputError: there is no such device, a package is missing, or an address is given without Ray.
        """
        if self.device == "cuda":
            from cofire.common.devices import choose_device

            choose_device(self.device)
        if self.engine == "ray":
            from cofire.ingest.pairs.ray_cluster import check_ray

            check_ray()
        if self.engine == "local" and self.address is not None:
            raise InputError("--address is of a Ray cluster: give --engine ray too, or leave it out")

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Be connected while inside, so that several captures share one connection.

        Raises:
            InputError: see `check`.
            StoreError: the cluster cannot be reached.
        """
        self.check()
        if self.engine == "local":
            yield
            return
        from cofire.ingest.pairs.ray_cluster import cluster

        with cluster(self.address):
            yield
