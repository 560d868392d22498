"""The life of the embedded server: who owns it, who shares it, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cofire.errors import StoreError
from cofire.store import open_store
from cofire.store.connection import Connection
from cofire.store.embedded import server as embedded
from processes import ended
from servers import SLOW, count, one_line

PROCESS = """
import sys
from cofire.errors import StoreError
from cofire.store import open_store
with open_store(sys.argv[1]) as store:
    {body}
"""


def start(directory: Path, body: str) -> subprocess.Popen[str]:
    """Another process that opens the store and runs `body`."""
    code = PROCESS.format(body=body.replace("\n", "\n    "))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def server_pid(directory: Path) -> int:
    return int(json.loads((directory / "owner.json").read_text())["pid"])


def cpu_seconds(pid: int) -> float:
    """The CPU time that the process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy(pid: int, seconds: float = 60.0) -> bool:
    """Whether the process uses two seconds of CPU time, which an idle server does not, within the time."""
    wanted = cpu_seconds(pid) + 2.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if cpu_seconds(pid) >= wanted:
            return True
        time.sleep(0.05)
    return False


def test_data_stay_and_the_server_ends_with_its_owner(embedded_dir):
    with open_store(embedded_dir) as store:
        store.write([("CREATE (:X {v: $v})", {"v": 2**60})])
        pid = server_pid(embedded_dir)
        assert (embedded_dir / "owner.json").stat().st_mode & 0o777 == 0o600
        password = json.loads((embedded_dir / "owner.json").read_text())["password"]
        assert password not in Path(f"/proc/{pid}/cmdline").read_text()
    assert ended(pid)
    assert not (embedded_dir / "owner.json").exists()
    with open_store(embedded_dir) as store:
        assert store.read("MATCH (n:X) RETURN n.v").rows == [(2**60,)]
        assert json.loads((embedded_dir / "owner.json").read_text())["password"] != password


def test_nothing_is_said_on_the_terminal(embedded_dir):
    body = "store.write([('CREATE (:X)', {})]); print(store.read('MATCH (n:Nothing) RETURN n.nope').rows)"
    process = start(embedded_dir, body)
    out, err = process.communicate(timeout=180)
    assert (process.returncode, out, err) == (0, "[]\n", "")
    assert (embedded_dir / "server.log").read_text()


def test_a_second_process_shares_the_server(embedded_dir):
    with open_store(embedded_dir) as store:
        process = start(embedded_dir, "store.write([('CREATE (:X)', {})]); print(store._embedded.owned)")
        out, err = process.communicate(timeout=180)
        assert (process.returncode, out, err) == (0, "False\n", "")
        # It has left, and the server has stayed.
        assert count(store) == 1


def test_a_server_whose_owner_died_before_its_answer_offers_itself_to_nobody(embedded_dir):
    with open_store(str(embedded_dir), create=True):
        pass
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "cofire.store.embedded.server_child", str(embedded_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=embedded.java_environment(),
    )
    child.stdout.close()
    child.stdin.write(b'{"password": "password-of-the-test", "create": false}\n')
    child.stdin.flush()
    assert child.wait(60) == 1
    child.stdin.close()
    assert not (embedded_dir / "owner.json").exists()
    with open_store(str(embedded_dir)) as store:
        assert store.read("RETURN 1").rows == [(1,)]


def test_who_shares_is_told_when_the_owner_goes_and_then_takes_over(embedded_dir):
    owner = start(embedded_dir, "store.write([('CREATE (:X)', {})]); print('ready', flush=True); sys.stdin.read()")
    assert owner.stdout.readline() == "ready\n"
    with open_store(embedded_dir) as store:
        assert count(store) == 1
        pid = server_pid(embedded_dir)
        owner.communicate(timeout=180)
        assert ended(pid)
        with pytest.raises(StoreError, match="has ended; run the command again") as caught:
            count(store)
        one_line(caught)
        assert count(store) == 1


def test_a_time_limit_leaves_a_shared_server_to_its_owner(embedded_dir):
    with open_store(embedded_dir) as store:
        body = (
            f"try: store.read({SLOW.replace('100000', '4000')!r}, timeout=0.5)\n"
            "except Exception as error: print(type(error).__name__)\n"
            "print(store.read('RETURN 1').rows)"
        )
        process = start(embedded_dir, body)
        out, err = process.communicate(timeout=180)
        assert (process.returncode, out, err) == (0, "TimeLimit\n[(1,)]\n", "")
        assert count(store) == 0


def test_when_the_server_dies_its_owner_is_told_and_can_go_on(embedded_dir):
    with open_store(embedded_dir) as store:
        store.write([("CREATE (:X)", {})])
        os.kill(server_pid(embedded_dir), signal.SIGKILL)
        with pytest.raises(StoreError, match=r"server\.log") as caught:
            count(store)
        one_line(caught)
        assert count(store) == 1


def test_kill_9_of_the_owner_leaves_no_orphan_and_no_acknowledged_batch_is_lost(embedded_dir):
    body = (
        "import itertools\n"
        "for batch in itertools.count():\n"
        "    rows = [[batch, i] for i in range(100)]\n"
        "    store.write([('UNWIND $rows AS row CREATE (:X {batch: row[0], i: row[1]})', {'rows': rows})])\n"
        "    print(batch, flush=True)"
    )
    for kill_after in (3, 17):
        process = start(embedded_dir, body)
        acknowledged = [int(process.stdout.readline()) for _ in range(kill_after)]
        pid = server_pid(embedded_dir)
        process.kill()
        acknowledged += [int(line) for line in process.communicate()[0].splitlines()]
        # The next one may come while the server of the killed one is still stopping.
        with open_store(embedded_dir) as store:
            rows = store.read("MATCH (n:X) RETURN n.batch AS batch, count(*) AS c ORDER BY batch").rows
            store.write([("MATCH (n:X) DELETE n", {})])
        assert ended(pid)
        assert [c for _, c in rows] == [100] * len(rows)
        assert {batch for batch, _ in rows} >= set(acknowledged)


def test_kill_9_of_the_owner_ends_a_server_that_is_busy(embedded_dir):
    process = start(embedded_dir, f"print('go', flush=True); store.read({SLOW!r})")
    assert process.stdout.readline() == "go\n"
    pid = server_pid(embedded_dir)
    assert busy(pid)
    process.kill()
    process.communicate()
    assert ended(pid, 30.0)


def test_opening_has_a_time_limit(embedded_dir, monkeypatch):
    monkeypatch.setattr(embedded, "OPEN_SECONDS", 0.3)
    with pytest.raises(StoreError, match="cofire rebuild") as caught:
        open_store(embedded_dir)
    one_line(caught)
    monkeypatch.undo()
    open_store(embedded_dir).close()


def test_a_store_without_its_database_is_not_made_anew(embedded_dir):
    (embedded_dir / "databases" / "cofire").rename(embedded_dir / "gone")
    with pytest.raises(StoreError, match=r"is damaged: .* is gone, and was") as caught:
        open_store(embedded_dir)
    one_line(caught)


def test_a_server_on_its_way_out_is_waited_for(embedded_dir, monkeypatch):
    """Its owner is dead, it answers no more, and it holds the store for a while yet."""
    serving, verified = embedded.EmbeddedServer.serving, Connection._verified
    refusals = 8

    def no_answer(self, url, auth):
        if refusals:
            raise StoreError("cannot reach it")
        return verified(self, url, auth)

    def not_yet(self):
        nonlocal refusals
        if refusals:
            refusals -= 1
            return False
        return serving(self)

    monkeypatch.setattr(Connection, "_verified", no_answer)
    monkeypatch.setattr(embedded.EmbeddedServer, "serving", not_yet)
    with open_store(embedded_dir) as store:
        assert count(store) == 0
    assert refusals == 0
