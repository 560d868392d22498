"""Reaching a Ray cluster: what is said where there is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cofire.errors import InputError, StoreError
from cofire.ingest.pairs.ray_cluster import cluster


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "127.0.0.1", ":6379", "host:port"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(InputError, match="give HOST:PORT or auto"), cluster(address):
        pass


def test_an_address_where_nobody_listens() -> None:
    with pytest.raises(StoreError, match=r"no Ray cluster could be reached at 127\.0\.0\.1:1"), cluster("127.0.0.1:1"):
        pass


def test_without_ray_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\nimport cofire.ingest.count, cofire.cli.app\n"
        "from cofire.ingest.pairs.ray_cluster import cluster\nwith cluster(None): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("InputError: --engine ray needs ray: pip install 'cofire[ray]'")
