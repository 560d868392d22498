"""One store in several processes, threads and event loops: each has a connection of its own, or is told plainly."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cofire import KnowledgeBase
from cofire.errors import InputError, StoreError
from cofire.store import Store, open_store
from processes import ended, forked
from servers import one_line

ONE = "MATCH (n:X {i: $i}) RETURN n.uid"
MANY = "UNWIND range(1, $n) AS i RETURN i"


@pytest.fixture
def filled(store: Store) -> Store:
    store.write([("UNWIND range(0, 9) AS i CREATE (:X {i: i, uid: 'x' + toString(i)})", {})])
    return store


def asked(store: Store, i: int) -> str:
    rows = store.read(ONE, {"i": i}, timeout=50).rows
    return "right" if rows == [(f"x{i}",)] else f"wrong: {rows}"


def test_forked_processes_and_their_parent_ask_at_once(filled: Store) -> None:
    """Also the process that owns the embedded server, in whose children the store is shared, and closed."""

    def work(i: int) -> str:
        said = {asked(filled, (i + j) % 10) for j in range(5)}
        filled.close()
        return " ".join(said)

    for _ in range(2):
        children = [forked(lambda i=i: work(i)) for i in range(3)]
        assert {asked(filled, i) for i in range(10)} == {"right"}
        assert [child() for child in children] == ["right"] * 3
    assert asked(filled, 1) == "right"


def test_a_stream_stays_with_the_process_that_began_it(filled: Store) -> None:
    rows = filled.stream(MANY, {"n": 3000})
    assert next(rows)[1] == (1,)

    def work() -> str:
        try:
            list(rows)
        except StoreError as error:
            return f"{asked(filled, 3)}; {error}"
        return "went on"

    said = forked(work)()
    assert said.startswith("right; these rows are sent to process")
    assert f"sent to process {os.getpid()}, from which this one was forked: ask again in process" in said
    assert [row for _, row in rows] == [(i,) for i in range(2, 3001)]


def test_a_fork_while_other_threads_ask(filled: Store) -> None:
    """Nor does a lock stay shut that a thread held which is not in the child."""
    go_on = threading.Event()
    wrong = []

    def busy() -> None:
        while not go_on.is_set():
            wrong.extend(said for said in [asked(filled, 2)] if said != "right")

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    with filled._connection._opening:
        children = [forked(lambda: asked(filled, 4)) for _ in range(2)]
    assert [child() for child in children] == ["right"] * 2
    go_on.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_threads_and_an_event_loop_share_one(filled: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda i: asked(filled, i % 10), range(40))) == {"right"}

    async def main() -> list[str]:
        return [asked(filled, 1), await asyncio.to_thread(asked, filled, 2)]

    assert asyncio.run(main()) == ["right", "right"]


def test_it_is_not_copied_or_sent_and_says_so(embedded_store: Store) -> None:
    with KnowledgeBase(embedded_store.location) as kb:
        for send in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(InputError, match=r"cannot be copied or sent .* KnowledgeBase\(\.\.\.\) in the worker"):
                send(kb)
    with pytest.raises(StoreError, match="was closed here") as caught:
        kb.saes()
    one_line(caught)
    kb.close()


POOLS = """
import atexit, concurrent.futures, multiprocessing, os, sys
from cofire import KnowledgeBase
kb = KnowledgeBase(sys.argv[1])
left = kb.iter("UNWIND range(1, 100000) AS i RETURN i AS i")
next(left)
atexit.register(lambda: print(kb.cypher("RETURN 'at exit' AS a")["a"][0], flush=True))

def ask(i):
    with kb:  # as code does that opens one where it needs it
        return kb.cypher("MATCH (n:X {i: $i}) RETURN n.uid AS u", i=i)["u"].tolist()

def main():
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=fork) as pool:
        print([future.result() for future in [pool.submit(ask, i) for i in range(2)]])
    pid = os.fork()
    if pid == 0:
        sys.exit()  # ends as Python ends, its parent's stream and store in hand
    os.waitpid(pid, 0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try: pool.apply(print, [kb])
        except Exception as error: print(type(error).__name__)
    print(next(left), kb.cypher("RETURN 1 AS n")["n"][0])

if __name__ == "__main__":
    main()
"""


def test_pools_of_processes_in_a_script(
    filled: Store, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stream and store are still open when it ends."""
    if filled.kind == "neo4j":
        server = request.getfixturevalue("neo4j_server")
        monkeypatch.setenv("NEO4J_USERNAME", server.username)
        monkeypatch.setenv("NEO4J_PASSWORD", server.password)
    (tmp_path / "script.py").write_text(POOLS)
    command = [sys.executable, str(tmp_path / "script.py"), filled.location]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    once = "at exit\n"
    wanted = f"[['x0'], ['x1']]\n{once}InputError\n{{'i': 2}} 1\n{once}"
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted, "")


def dropped(stores: list[Store]) -> None:
    stores.clear()
    gc.collect()


def test_the_server_ends_with_its_owner_whoever_else_holds_the_store(embedded_dir: Path) -> None:
    """A forked process holds no end of the server's pipes; it and another store of this process are told the truth."""
    first, stores = open_store(embedded_dir), [open_store(embedded_dir)]
    first.write([("CREATE (:X {i: 1, uid: 'x1'})", {})])
    server = server_pid(embedded_dir)
    closed, closing = os.pipe()
    taken, taking = os.pipe()
    asked_once, asking = os.pipe()

    def work() -> str:
        os.close(closing)
        os.close(taking)
        said = [asked(first, 1)]
        os.write(asking, b"1")
        os.read(closed, 1)
        try:
            first.read("RETURN 1")
        except StoreError as error:
            said.append(str(error))
        os.read(taken, 1)
        said.append(asked(first, 1))
        first.close()
        return "; ".join(said)

    child = forked(work)
    assert os.read(asked_once, 1) == b"1"  # while the server is there
    first.close()
    assert ended(server, 15.0)
    os.close(closing)
    with pytest.raises(StoreError, match="was closed where this process had opened it first"):
        stores[0].read("RETURN 1")
    assert asked(stores[0], 1) == "right"
    os.close(taking)
    assert (
        child() == f"right; the process that held {embedded_dir} and shared it has ended; run the command again; right"
    )
    # Nobody closes this one.
    server = server_pid(embedded_dir)
    with pytest.warns(ResourceWarning):
        dropped(stores)
    assert ended(server, 30.0)
    for end in (closed, taken, asked_once, asking):
        os.close(end)


def server_pid(directory: Path) -> int:
    return int(json.loads((directory / "owner.json").read_text())["pid"])
