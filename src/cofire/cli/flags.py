"""Flags of commands, made from the declarations of settings (`cofire.common.settings`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from cofire.common.settings import Setting, settings_in
from cofire.ingest.edges.settings import EdgeRule

Flags = dict[str, Any]
"""The settings that were given as flags, by name."""


def takes(*groups: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each setting of the groups; those that were given reach it as `flags`, by name.

    typer reads a command's signature. The one that it sees here is the command's own, with the settings in the place
    of `flags`.
    """
    declared = {name: one for group in groups for name, one in settings_in(group).items()}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        mine = [parameter for name, parameter in own.parameters.items() if name != "flags"]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            flags = {name: values.pop(name) for name in declared}
            command(**values, flags={name: value for name, value in flags.items() if value is not None})

        made = [*mine, *(_parameter(one) for one in declared.values())]
        run.__signature__ = own.replace(parameters=made)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in made}
        return run

    return decorate


def flag(group: type, name: str) -> Any:
    """Return what typer needs to know of the flag of one setting."""
    return _option(settings_in(group)[name])


def _parameter(declared: Setting) -> inspect.Parameter:
    annotation: Any = Annotated[_type(declared) | None, _option(declared)]
    return inspect.Parameter(declared.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _option(declared: Setting) -> Any:
    name, words = declared.name.replace("_", "-"), declared.help[0].upper() + declared.help[1:] + "."
    names = [f"--{name}/--no-{name}"] if declared.type is bool else [f"--{name}"]
    return typer.Option(*names, help=words, show_default=default_in_words(declared))


def _type(declared: Setting) -> Any:
    """Return the type that typer shows and checks; what may be one thing or another is checked with the settings."""
    if declared.size:
        return str
    kinds = [kind for kind in get_args(declared.type) if kind is not type(None)] if _is_union(declared) else []
    if len(kinds) > 1:
        return str
    return kinds[0] if kinds else declared.type


def _is_union(declared: Setting) -> bool:
    return get_origin(declared.type) is not Literal and bool(get_args(declared.type))


def default_in_words(declared: Setting) -> str | Literal[False]:
    """Return the default of a setting in words; False where there is none to show."""
    value = declared.default
    if value is None:
        return False
    if declared.size:
        return f"{value // 1024**3}GiB"
    if isinstance(value, bool):
        return ("" if value else "no-") + declared.name.replace("_", "-")
    return f"{value:g}" if isinstance(value, float) else str(value)


def with_rule(flags: Flags) -> Flags:
    """Return the flags with `edges`: whoever gives a part of the edge rule wants the rule that it belongs to."""
    part_given = flags.keys() & settings_in(EdgeRule).keys()
    return {"edges": "significant", **flags} if part_given else flags
