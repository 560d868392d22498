"""The declarations of the analyses: each has its room, and each table its maker."""

from __future__ import annotations

import importlib
from collections import Counter

import pytest

from cofire.analysis.analyses import ANALYSES, analysis_settings
from cofire.errors import InputError
from cofire.schema.analyses import ACTIVATIONS, SAE
from cofire.schema.tables import TABLES


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda analysis: analysis.name)
def test_an_analysis_has_a_room_of_its_name(analysis) -> None:  # type: ignore[no-untyped-def]
    assert importlib.import_module(f"cofire.analysis.{analysis.name}").ANALYSIS is analysis


def test_each_table_has_one_maker_and_comes_after_what_it_is_made_from() -> None:
    made = Counter(table.name for analysis in ANALYSES for table in analysis.tables)
    assert set(made.values()) == {1}
    assert set(made) == {table.name for table in TABLES if table.maker == "analyze"}
    there = {table.name for table in TABLES if table.maker == "count"} | {SAE, ACTIVATIONS}
    for analysis in ANALYSES:
        assert set(analysis.needs) <= there
        there |= {table.name for table in analysis.tables}


def test_a_part_has_the_key_of_its_whole_and_some_of_its_columns() -> None:
    tables = {table.name: table for table in TABLES}
    parts = [table for table in TABLES if table.part_of]
    assert len(parts) >= 2
    for part in parts:
        whole = tables[part.part_of or ""]
        types = {column.name: column.type for column in whole.columns}
        assert part.key == whole.key
        shared = [column for column in part.columns if column.name in types]
        assert len(shared) > 1
        assert all(types[column.name] == column.type for column in shared)


def test_a_setting_that_no_analysis_has_is_refused() -> None:
    with pytest.raises(InputError, match="no analysis has a setting 'peas'"):
        analysis_settings(peas=3)
