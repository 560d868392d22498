"""The embedded store's server, a process of its own: `python -m cofire.store.embedded.server_child DIRECTORY`.

1. One JSON line on standard input: {"password": ..., "create": ...}. The password is never on a command line.
2. ArcadeDB starts on ports of 127.0.0.1 that the system chooses; all that it says goes to DIRECTORY/server.log.
3. DIRECTORY/owner.json (mode 0600) tells other processes of the same user how to share the server.
4. One JSON line on standard output: {"port": ..., "pid": ...}, or {"error": ...}.
5. It serves until standard input ends, or the parent is gone, and stops.

The parent hands over an open file that holds the lock of DIRECTORY: the lock lives as long as this process.
SIGTERM aborts ArcadeDB, and an exception that ends Python while the JVM is alive crashes it: hence step 5 and os._exit.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

from cofire.store.embedded.database_files import DATABASE

__all__ = ["DATABASE", "OWNER_FILE", "USER", "main"]

USER = "root"
OWNER_FILE = "owner.json"

_STOP_SECONDS = 20.0


def main() -> None:
    """Serve the directory named by the one argument. Does not return: ends with os._exit."""
    parent = os.getppid()
    directory = Path(sys.argv[1])
    status = 1
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")  # not closed: that would raise where the parent is gone
    # The JVM writes to the file descriptors themselves. Standard error is the log already.
    os.dup2(2, 1)
    try:
        request = json.loads(sys.stdin.readline())
        os.chdir(directory)  # ArcadeDB writes ./log/
        _serve(directory, request["password"], request["create"], parent, answer)
        status = 0
    except BaseException as error:  # noqa: BLE001 - every end must go through os._exit
        traceback.print_exc()
        with suppress(OSError):  # nobody may take a server that is going for one that serves
            (directory / OWNER_FILE).unlink()
        with suppress(OSError):
            _say(answer, {"error": " ".join(str(error).split()) or type(error).__name__})
    os._exit(status)


def _serve(directory: Path, password: str, create: bool, parent: int, answer: object) -> None:
    from arcadedb_embedded.server import ArcadeDBServer

    from cofire.store.embedded.database_files import record_files

    # ArcadeDB keeps its root user, and would keep the password of the run before.
    (directory / "config" / "server-users.jsonl").unlink(missing_ok=True)
    server = ArcadeDBServer(
        str(directory),
        password,
        {
            "host": "127.0.0.1",
            "http_port": 0,
            "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
            "bolt_port": 0,
        },
    )
    server.start()
    if not create and not (directory / "databases" / DATABASE).is_dir():
        raise FileNotFoundError(f"databases/{DATABASE} is missing")
    server.create_database(DATABASE)
    # The bindings do not give the port that the system chose for Bolt.
    ports = [int(p.getPort()) for p in server._java_server.getPlugins() if "Bolt" in str(p.getName())]
    _write_owner(directory, {"pid": os.getpid(), "parent": parent, "port": ports[0], "password": password})
    _say(answer, {"port": ports[0], "pid": os.getpid()})
    _wait(parent)
    (directory / OWNER_FILE).unlink(missing_ok=True)
    # A query that is still running may hold up the stop; what was committed is safe either way.
    watchdog = threading.Timer(_STOP_SECONDS, os._exit, [1])
    watchdog.daemon = True
    watchdog.start()
    server.stop()
    record_files(directory)


def _say(answer: object, message: dict[str, object]) -> None:
    print(json.dumps(message), file=answer, flush=True)  # type: ignore[call-overload]


def _write_owner(directory: Path, owner: dict[str, object]) -> None:
    new = directory / (OWNER_FILE + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(owner, file)
    new.replace(directory / OWNER_FILE)


def _wait(parent: int) -> None:
    """Return when standard input ends, or when the parent is gone (another process may keep the pipe open)."""
    while os.getppid() == parent:
        ready, _, _ = select.select([0], [], [], 1.0)
        if ready and not os.read(0, 4096):
            return


if __name__ == "__main__":
    main()
