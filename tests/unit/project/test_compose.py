"""compose.yaml: it is what docs/neo4j.md says it is, and the same Neo4j as the tests run on."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from repository import ROOT


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert set(compose["services"]) == {"neo4j"}
    service: dict[str, Any] = compose["services"]["neo4j"]
    for volume in service["volumes"]:
        assert volume.split(":")[0] in compose["volumes"]
    return service


def test_the_version_is_that_of_the_script(service: dict[str, Any]) -> None:
    script = (ROOT / "scripts" / "neo4j").read_text(encoding="utf-8")
    found = re.search(r"^default_version=(\S+)$", script, re.MULTILINE)
    assert found is not None
    assert service["image"] == f"neo4j:{found[1]}-community"


def test_only_this_machine_reaches_it(service: dict[str, Any]) -> None:
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_password_comes_from_the_environment(service: dict[str, Any]) -> None:
    assert service["environment"]["NEO4J_AUTH"].startswith("neo4j/${NEO4J_PASSWORD:?")


def test_it_keeps_data_bounds_memory_and_tells_its_health(service: dict[str, Any]) -> None:
    assert any(volume.endswith(":/data") for volume in service["volumes"])
    for setting in ("heap_initial__size", "heap_max__size", "pagecache_size"):
        assert f"NEO4J_server_memory_{setting}" in service["environment"]
    assert "cypher-shell" in service["healthcheck"]["test"][1]
    # All settings are texts: YAML's own true would reach the server as True.
    assert all(isinstance(value, str) for value in service["environment"].values())
