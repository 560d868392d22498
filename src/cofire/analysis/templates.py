"""The pages' templates, which stand beside this file."""

from __future__ import annotations

import importlib.resources
from typing import Any


def render(template: str, /, **values: Any) -> str:
    """Fill a template: everything is escaped, and a name that it uses and is not given is an error.

    Args:
        template: its file name.
        values: what it uses.
    """
    import jinja2

    def source(name: str) -> str:
        return importlib.resources.files("cofire.analysis").joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(source),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
