"""Calls whose waits end, and what of the driver's inside they lean on."""

from __future__ import annotations

import inspect
import threading

import pytest
from neo4j import GraphDatabase, Session
from neo4j._async_compat.network._bolt_socket import BoltSocketBase
from neo4j._sync.io._bolt._base import Bolt

from cofire.errors import StoreError
from cofire.store.calls import Call, hang_up, sweep, within

NOWHERE = "bolt://127.0.0.1:1"


def test_the_driver_still_has_what_calls_use() -> None:
    """None of it is public. A release of the driver without one of these has to be looked at before it is used."""
    changed = "this release of the neo4j driver has another inside: see cofire.store.calls before it is allowed"
    driver = GraphDatabase.driver(NOWHERE)
    assert driver._closed is False, changed
    assert isinstance(driver._pool.connections, dict), changed
    assert callable(driver._pool.close), changed
    with driver.session() as session:
        assert session._connection is None, changed
        assert session._config.max_transaction_retry_time > 0, changed
        assert session._closed is False, changed
    assert session._closed is True, changed
    assert session.closed() is True, changed
    driver.close()
    assert driver._closed is True, changed
    assert "self.socket =" in inspect.getsource(Bolt.__init__), changed
    assert "self._socket =" in inspect.getsource(BoltSocketBase.__init__), changed
    assert "self._disconnect(" in inspect.getsource(Session.close), changed


def test_a_call_that_is_cut_before_it_was_connected() -> None:
    driver = GraphDatabase.driver(NOWHERE)
    call = Call(driver, "neo4j", "READ", None)
    call.cut()
    call.close()
    hang_up(driver)
    sweep(driver)
    assert call._session.closed()


def test_a_thread_that_cannot_be_started_is_an_error_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    cuts: list[int] = []
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(StoreError, match="no further thread") as caught:
        within(None, lambda: 1, lambda: cuts.append(1))
    assert "\n" not in str(caught.value)
    assert cuts == [1]
