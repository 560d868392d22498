"""Consoles, progress bars and the options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status

from cofire.analysis.report.visible import visible_line
from cofire.cli.flags import flag
from cofire.errors import InputError
from cofire.settings import StoreSettings, load_settings

if TYPE_CHECKING:
    from cofire.common.progress import StageProgress
    from cofire.ingest.capture_dir.directory import CaptureDir
    from cofire.queries.knowledge_base import KnowledgeBase
    from cofire.queries.library import Query
    from cofire.settings import Settings
    from cofire.store import Store

CapturesArgument = Annotated[list[Path], typer.Argument(help="Capture directories, or directories of several.")]
StoreOption = Annotated[str | None, flag(StoreSettings, "store")]
QueriesOption = Annotated[Path | None, flag(StoreSettings, "queries")]
TimeoutOption = Annotated[float | None, flag(StoreSettings, "timeout")]


def notice(text: str) -> None:
    """Say something to the person on stderr; stdout carries data alone."""
    sys.stderr.write(f"{visible_line(text)}\n")


def _bars() -> Progress:
    """Bars on stderr; none where stderr is no terminal, so that logs stay readable."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)


@contextmanager
def stages(title: str) -> Iterator[StageProgress]:
    """Show progress on stderr; yields a callback (stage, done, total). A stage's bar stays when the next begins."""
    with _bars() as bars:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(visible_line(f"{title}: {stage}"))
            bars.update(tasks[stage], completed=done, total=total)

        yield advance


def working(text: str) -> Status:
    """Show on stderr, while inside, that something without steps is going on; nothing where it is no terminal."""
    return Console(stderr=True).status(text)


class TokenBar:
    """Shows how many text tokens a capture has done; see `cofire.common.progress.TokenProgress`."""

    def __init__(self, bars: Progress, title: str) -> None:
        self.bars = bars
        self.task = bars.add_task(f"{title}: loading", total=None)
        self.title = title

    def start(self, total: int) -> None:
        """The model begins to run over `total` tokens."""
        self.bars.update(self.task, description=f"{self.title}: tokens", total=total)

    def advance(self, tokens: int) -> None:
        """`tokens` more are done."""
        self.bars.advance(self.task, tokens)


@contextmanager
def token_progress(title: str) -> Iterator[TokenBar]:
    """Show a capture's progress on stderr."""
    with _bars() as bars:
        yield TokenBar(bars, title)


def settings_of(store: str | None = None, **flags: object) -> Settings:
    """Return the settings; flags that are None fall through to environment, file and defaults."""
    return load_settings(store=store, **flags)


def open_knowledge_base(store: str | None, timeout: float | None = None, queries: Path | None = None) -> KnowledgeBase:
    """Open the store that the flags and settings name, for reading."""
    from cofire.queries.knowledge_base import KnowledgeBase

    settings = settings_of(store, timeout=timeout).of(StoreSettings)
    return KnowledgeBase(settings.store, timeout=settings.timeout, queries=queries)


def known_queries(queries: Path | None) -> Mapping[str, Query]:
    """Return the library and the queries of the folder that the flag or the settings name."""
    from cofire.queries.library import queries_with

    return queries_with(settings_of(queries=None if queries is None else str(queries)).of(StoreSettings).queries)


def open_named(settings: Settings, *, create: bool = False, any_version: bool = False) -> Store:
    """Open the store that the settings name; `create` and `any_version` as `cofire.store.open_store`."""
    from cofire.store import open_store

    password = settings.password.get_secret_value() if settings.password else None
    place = settings.of(StoreSettings).store
    return open_store(place, settings.username, password, settings.database, create=create, any_version=any_version)


def open_captures(paths: list[Path]) -> list[CaptureDir]:
    """Open the captures that the user named."""
    from cofire.ingest.capture_dir.directory import find_captures

    return find_captures(paths)


def make_directory(out: Path) -> None:
    """Make a directory that is written to later, so that a place that cannot be written is told now.

    Raises:
        InputError: it cannot be made or written.
    """
    import os

    from cofire.errors import InputError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror or error}); give another --out") from error
    if not os.access(out, os.W_OK):
        raise InputError(f"{out}: cannot be written; give another --out")


GraphCapturesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="CAPTURE",
        help="Capture directories, or directories of several; without any, the store is read.",
        show_default=False,
    ),
]


def refuse_both(captures: list[Path], given: dict[str, object]) -> None:
    """Refuse options that choose in a store (by name; None, False or empty where not given) beside captures.

    Raises:
        InputError: both are given.
    """
    options = [name for name, value in given.items() if value]
    if captures and options:
        raise InputError(f"{options[0]} is for a store, and captures are named; give one or the other")


def open_to_read(store: str | None) -> Store:
    """Open the store that the flag and the settings name.

    Raises:
        StoreError: there is none, or it cannot be reached.
    """
    return open_named(settings_of(store))
