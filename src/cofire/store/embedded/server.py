"""The embedded store: ArcadeDB as a child process that serves one directory.

    DIRECTORY/store.json    {"format": 1, "engine": "arcadedb", "version": ...}: says that this is a store
    DIRECTORY/databases/    ArcadeDB's files
    DIRECTORY/server.log    what the server says; DIRECTORY/log/ what ArcadeDB writes besides
    DIRECTORY/lock          locked (flock) by the server process for as long as it lives
    DIRECTORY/owner.json    mode 0600: pid, port and password of the running server, so that others can share it

1. Take the lock. Who has it starts a child, which inherits the locked file: the lock ends with the server, never
   with the process that started it.
2. Who does not get it reads owner.json and shares that server.
3. Neither within the time limit: StoreBusy.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from cofire.common.room import LOG, new_log, refused
from cofire.errors import StoreBusy, StoreError
from cofire.store.embedded.database_files import being_filled, damage, distrust, settle, trust
from cofire.store.embedded.server_child import OWNER_FILE

__all__ = ["OPEN_SECONDS", "EmbeddedServer"]

OPEN_SECONDS = 60.0
"""How long opening may take: a damaged database can hang ArcadeDB."""

_JAVA = "-XX:+UseParallelGC"
_FORMAT = 1
_MARKER = "store.json"
_LOCK = "lock"
_STOP_SECONDS = 25.0
_LOOK_SECONDS = 5.0


def java_environment() -> dict[str, str]:
    """Return this process's environment for a child that runs ArcadeDB: without options of the user's own
    (ARCADEDB_JVM_ARGS) it takes the collector that does the most work, not the one that pauses least.
    """
    return {"ARCADEDB_JVM_ARGS": _JAVA} | os.environ


@dataclass(frozen=True)
class Address:
    """Where a running server listens on 127.0.0.1, and its password."""

    port: int
    password: str


class EmbeddedServer:
    """The server of one store directory: started here, or shared with the process that started it.

    Args:
        directory: the store.
        create: make the store where the directory is missing or empty.

    Raises:
        StoreError: there is no store in `directory` (and `create` is false), or something else is there.
    """

    def __init__(self, directory: Path, *, create: bool) -> None:
        self._child: subprocess.Popen[bytes] | None = None  # first: __del__ looks at it, whatever fails here
        self.directory = directory.absolute()
        self._create = create
        self._shared_pid: int | None = None
        self._shared_parent: int | None = None
        self._shown = str(directory)
        self.unsure = False
        """Whether the store had not been stopped in good order before, and nobody has counted its rows since."""
        _prepare(directory, create)

    @property
    def owned(self) -> bool:
        """Whether the server is a child of this process."""
        return self._child is not None

    def start(self, patience: float | None = None) -> Address:
        """Start the server, or find the one that runs.

        Args:
            patience: seconds to wait for one who holds the store and whose server does not answer; None for
                OPEN_SECONDS, and for as long as a first load takes. A server that starts or stops has OPEN_SECONDS.

        Raises:
            StoreBusy: another process holds the directory and its server does not answer.
            StoreError: the server does not start.
        """
        begun = time.monotonic()
        deadline = begun + (OPEN_SECONDS if patience is None else patience)
        while True:
            lock = self._try_lock()
            if lock is not None:
                try:
                    return self._spawn(lock, time.monotonic() + OPEN_SECONDS)
                except OSError as error:
                    raise self._unusable(error) from error
                finally:
                    _let_go(lock)
            address = self._running()
            if address is not None:
                return address
            if time.monotonic() > deadline:
                if being_filled(self.directory):
                    if patience is not None:
                        raise StoreBusy(f"{self._shown} is being filled by its first load; try again when that is done")
                # One that starts or stops has as long for it as one of our own.
                elif _up(_owner(self.directory)) or time.monotonic() > begun + OPEN_SECONDS:
                    raise StoreBusy(
                        f"{self._shown} is held by {self.holder()}, whose server does not answer; end it and try again"
                    )
            time.sleep(0.1)

    def counted(self) -> None:
        """The store's rows have been counted and are all there."""
        self.unsure = False
        trust(self.directory)

    def serving(self) -> bool:
        """Whether the server that `start` found is still up and its owner alive: else it is stopping or has ended."""
        if self._child is not None:
            return self._child.poll() is None
        owner = _owner(self.directory)
        return owner is not None and owner["pid"] == self._shared_pid and _up(owner)

    def stop(self, seconds: float = _STOP_SECONDS) -> None:
        """End the child by closing its input, by force after `seconds`. A shared server is left alone."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            with suppress(BrokenPipeError):  # it is gone already
                child.stdin.close()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()

    def leave(self, seconds: float) -> None:
        """Tell the child to end, and wait no longer than that for it: it ends by itself, as when this process dies."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            with suppress(BrokenPipeError):
                child.stdin.close()
        if child.stdout is not None:
            child.stdout.close()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            if not sys.is_finalizing():
                threading.Thread(target=child.wait, daemon=True, name="cofire-left-server").start()

    @contextmanager
    def alone(self) -> Iterator[tuple[Path, int] | None]:
        """Stop the server and keep everybody else out while the body runs; `start` may be called again afterwards.

        Yields (directory, open file that holds the lock), or None where the server is another process's.
        """
        if not self.owned:
            yield None
            return
        self.stop()
        with self.locked() as lock:
            yield None if lock is None else (self.directory, lock)

    @contextmanager
    def locked(self) -> Iterator[int | None]:
        """Hold the lock while the body runs, with no server; yields None where another process has it."""
        lock = self._try_lock()
        try:
            yield lock
        finally:
            if lock is not None:
                _let_go(lock)

    def lost(self) -> str:
        """One line for the user when the server has gone away while it was used."""
        if reason := refused(self.directory):
            return reason
        if self.owned:
            log = self.directory / LOG
            return f"the server of {self._shown} has ended unexpectedly; see {log} and run the command again"
        if self._shared_parent == os.getpid():
            return f"{self._shown} was closed where this process had opened it first, and its server ended; ask again"
        return f"the process that held {self._shown} and shared it has ended; run the command again"

    def disown(self) -> None:
        """After a fork, in the child: the server is the parent's, which alone ends it. This process may share it."""
        child, self._child = self._child, None
        self._shared_pid = self._shared_parent = None
        for pipe in () if child is None else (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()  # else the server would not see the parent close its own
        for lock in list(_LOCKS):
            _let_go(lock)

    def __del__(self) -> None:
        # Nobody can ask any more. Popen alone would keep the pipe, and with it the server, until this process ends.
        self.leave(0.0)

    def _try_lock(self) -> int | None:
        try:
            file = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        _LOCKS.add(file)
        return file

    def _unusable(self, error: OSError) -> StoreError:
        where = f" ({error.filename})" if error.filename else ""
        return StoreError(f"the store {self._shown} cannot be used: {error.strerror or error}{where}")

    def _spawn(self, lock: int, deadline: float) -> Address:
        """Start a child that takes over the locked file."""
        (self.directory / OWNER_FILE).unlink(missing_ok=True)
        settle(self.directory)
        damaged = damage(self.directory)
        if damaged:
            raise StoreError(
                f"{self._shown} is damaged: {damaged}; "
                f"make it anew with `cofire rebuild CAPTURE... --store {self._shown}`"
            )
        self.unsure = damaged is not None
        if self.unsure:
            distrust(self.directory)
        password = secrets.token_urlsafe(24)
        log = self.directory / LOG
        with new_log(self.directory) as file:
            child = subprocess.Popen(  # noqa: S603 - this very Python
                [sys.executable, "-P", "-m", "cofire.store.embedded.server_child", str(self.directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=java_environment(),
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C in the terminal is for the parent alone
            )
        self._child = child
        try:
            request = {"password": password, "create": self._create}
            answer = _ask(child, json.dumps(request), deadline, self.directory)
        except BaseException:
            child.kill()
            self.stop()
            raise
        if answer is None:
            child.kill()
            self.stop()
            if reason := refused(self.directory):
                raise StoreError(reason)
            raise StoreError(
                f"{self._shown} did not open within {OPEN_SECONDS:.0f} s and may be damaged (see {log}); "
                f"make it anew with `cofire rebuild CAPTURE... --store {self._shown}`"
            )
        if "port" not in answer:
            self.stop()
            if reason := refused(self.directory):
                raise StoreError(reason)
            raise StoreError(f"{self._shown} does not open: {answer.get('error', 'its server ended')} (see {log})")
        return Address(port=int(str(answer["port"])), password=password)

    def _running(self) -> Address | None:
        """The server that owner.json names, if it and its owner are alive and it listens."""
        owner = _owner(self.directory)
        if owner is None or not _up(owner):
            return None
        try:
            with socket.create_connection(("127.0.0.1", owner["port"]), timeout=2.0):
                self._shared_pid, self._shared_parent = owner["pid"], owner["parent"]
                return Address(port=owner["port"], password=owner["password"])
        except OSError:
            return None

    def holder(self) -> str:
        """Who holds the store, in words."""
        owner = _owner(self.directory)
        return f"process {owner['parent']} (server {owner['pid']})" if owner else "another process"


_LOCKS: set[int] = set()
"""Open files that hold a store's lock in this process."""


def _let_go(lock: int) -> None:
    if lock in _LOCKS:  # a forked process has done so before it left the place where its parent holds the lock
        _LOCKS.discard(lock)
        os.close(lock)


class _Owner(TypedDict):
    pid: int
    parent: int
    port: int
    password: str


def _owner(directory: Path) -> _Owner | None:
    """What the running server says of itself; None while there is none, or while it starts or stops."""
    try:
        found: _Owner = json.loads((directory / OWNER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _up(owner: _Owner | None) -> bool:
    """Whether a server and the process that started it are alive: else it is starting or stopping, or has ended."""
    return owner is not None and _alive(owner["parent"]) and _alive(owner["pid"])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _ask(child: subprocess.Popen[bytes], request: str, deadline: float, directory: Path) -> dict[str, object] | None:
    """Send one line and wait for the line that answers it.

    Returns {} if the child ends without one; None if it is late, or never will say one as the system has refused it
    something.
    """
    assert child.stdin is not None  # noqa: S101 - both are pipes
    assert child.stdout is not None  # noqa: S101
    try:
        child.stdin.write(request.encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        return {}
    while not select.select([child.stdout], [], [], min(max(deadline - time.monotonic(), 0.0), _LOOK_SECONDS))[0]:
        if time.monotonic() > deadline or refused(directory):
            return None
    line = child.stdout.readline()
    return dict(json.loads(line)) if line else {}


def _prepare(directory: Path, create: bool) -> None:
    """Check that `directory` is a store; make it one where that is asked for."""
    marker = directory / _MARKER
    try:
        if marker.is_file():
            _check_marker(directory, marker)
            return
        if directory.is_symlink() and not directory.exists():
            raise StoreError(f"{directory} is a link to {directory.readlink()}, which is not there; name a directory")
        if directory.exists() and not directory.is_dir():
            raise StoreError(f"{directory} is a file; name a directory for the store")
        if directory.is_dir() and any(entry.name not in (_MARKER + ".new", _LOCK) for entry in directory.iterdir()):
            hint = "name a new or empty directory" if create else "name the directory of one"
            raise StoreError(f"{directory} holds other files and is no store; {hint}")
        if not create:
            raise StoreError(f"no store at {directory}; run `cofire ingest CAPTURE --store {directory}` first")
        directory.mkdir(parents=True, exist_ok=True)
        new = directory / (_MARKER + ".new")
        text = json.dumps({"format": _FORMAT, "engine": "arcadedb", "version": version("arcadedb-embedded")})
        new.write_text(text + "\n", encoding="utf-8")
        new.replace(marker)
    except OSError as error:
        raise StoreError(f"the store {directory} cannot be used: {error.strerror or error}") from error


def _check_marker(directory: Path, marker: Path) -> None:
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        known = found["format"] == _FORMAT and found["engine"] == "arcadedb"
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{marker} is damaged; load the captures into a new directory with `cofire ingest`") from error
    if not known:
        raise StoreError(f"{directory} was made by another version of cofire; load the captures into a new directory")
