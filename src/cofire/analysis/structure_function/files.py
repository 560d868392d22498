"""How far structure implies function over several captures, as files (`cofire analyze --only structure-function`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cofire.analysis.structure_function import NAME
from cofire.common.files import write_atomically
from cofire.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from cofire.analysis.structure_function.structure_function import StructureFunction


def write_structure_function(found: StructureFunction, out: Path) -> list[Path]:
    """Write OUT/structure-function.csv, its clusters as structure-function-clusters.csv, and the figure as PNG.

    Raises:
        InputError: `out` cannot be written.
    """
    from cofire.analysis.report.charts import png, style
    from cofire.analysis.structure_function.figure import structure_function_figure

    with style():
        picture = png(structure_function_figure(found))
    made = {
        f"{NAME}.csv": found.table.to_csv(index=False).encode(),
        f"{NAME}-clusters.csv": found.rows.to_csv(index=False).encode(),
        f"{NAME}.png": picture,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            write_atomically(out / name, lambda part, content=content: part.write_bytes(content))  # type: ignore[misc]
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); give another --out") from error
    return [out / name for name in made]
