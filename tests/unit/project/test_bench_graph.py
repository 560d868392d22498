"""The synthetic graph of bench/load.py and bench/queries.py, which the suite does not run, can be loaded."""

from __future__ import annotations

import importlib.util
import sys

from cofire.store.plan.plan import load_plan
from repository import ROOT

BENCH = ROOT / "bench" / "graph.py"


def test_it_is_a_capture_that_can_be_loaded(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("bench_graph", BENCH)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_graph", bench)
    spec.loader.exec_module(bench)
    monkeypatch.setattr(bench, "CACHE", tmp_path)
    counts = [section.count for section in load_plan(bench.graph(800, 10_000)).sections]
    assert {800, 10_000} <= set(counts)
