"""The connection to a Ray cluster, and temporary directories of processes that may be killed.

Ray is imported when a connection is asked for, never before; it is kept quiet, and from speaking to anybody but the
cluster.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cofire.common.extras import needed_by
from cofire.errors import InputError, StoreError

RETRIES = 3
"""How often a task is run again whose worker has died."""

SCRATCH_SECONDS = 60.0
"""How old a task's directory is at least that is taken for that of a killed one."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to Ray's makers
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # no code is uploaded
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # CUDA_VISIBLE_DEVICES stays, and no warning speaks of it
    "RAY_task_oom_retries": str(RETRIES),  # a worker that was killed for its memory is not tried for ever
    "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).",  # what nodes tell of dead workers does not go between the data on stdout
}
"""How Ray is set before it is imported."""


def check_ray() -> None:
    """Import Ray, set as above.

    Raises:
        InputError: it is not installed.
    """
    os.environ.update(ENVIRONMENT)
    with needed_by("--engine ray", "ray"):
        import ray  # noqa: F401


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connect this process to a Ray cluster, and disconnect it in the end.

    A process that is connected already stays so, and to that cluster. So several walks share one connection inside one
    `with cluster(address)`.

    Args:
        address: HOST:PORT of a cluster of which this machine is a node, or 'auto' for the one that was started here.
            None starts a cluster of this machine alone, which ends with the `with`.

    Raises:
        InputError: Ray is not installed, or the address is none.
        StoreError: no cluster could be reached at the address, or none be started.
    """
    check_ray()
    import ray

    if address is not None and address != "auto":
        _knock(address)
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    # Ray puts sockets there, whose paths may have 107 bytes: too few for many a TMPDIR.
    with scratch("cofire-ray-", "/tmp") as folder:  # noqa: S108
        try:
            try:
                if address is None:
                    ray.init("local", include_dashboard=False, _temp_dir=str(folder), **quiet)
                else:
                    ray.init(address, **quiet)
            except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
                where = "could be started here" if address is None else f"could be reached at {address}"
                raise StoreError(f"no Ray cluster {where}: {error}") from error
            yield
        finally:
            ray.shutdown()


@contextmanager
def scratch(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """Yield a temporary directory; take away those of this prefix whose processes were killed.

    Args:
        prefix: of its name.
        parent: where it is made; None: where temporary files go.
    """
    for left in Path(parent or tempfile.gettempdir()).glob(f"{prefix}*"):
        # Not one that has just been made and is not locked yet; nor another user's.
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > SCRATCH_SECONDS:
                with _locked(left):
                    shutil.rmtree(left)
    made = tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
    with made as folder, _locked(Path(folder)):
        yield Path(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a directory, unless another process does (BlockingIOError); the hold ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _knock(address: str) -> None:
    """Raise where nobody listens at HOST:PORT: Ray itself would try for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise InputError(f"--address {address}: give HOST:PORT or auto, on a machine that is a node of the cluster")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise StoreError(f"no Ray cluster could be reached at {address}: {error}") from error
