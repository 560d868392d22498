"""What the name of a store stands for: a directory, or the URL of a server. What may be meant otherwise is refused.

What is there is a path, whatever it looks like: only a name that nothing has yet is asked whether it may be a server's.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from cofire.common.files import from_home
from cofire.errors import InputError

__all__ = ["named_store"]

_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
_USUAL = "a URL such as bolt://localhost:7687"
_CREDENTIALS = "NEO4J_USERNAME and NEO4J_PASSWORD"

_HOST = r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
_HOST_AND_PORT = re.compile(rf"(?P<secret>[^/]*@)?{_HOST}:(?P<port>\d{{4,5}})")
_HOST_ALONE = re.compile(r"localhost|\d+\.\d+\.\d+\.\d+")
_SLASHES_LOST = re.compile(rf"(?P<scheme>{'|'.join(map(re.escape, _SCHEMES))}|https?):(?P<rest>.*)")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def named_store(name: str) -> Path | str:
    """Return the directory (as a Path) or the URL (as a text) that `name` stands for. Nothing is opened or made.

    Args:
        name: as a user gives it. `~` at the beginning is the home directory.

    Raises:
        InputError: it is empty; it is a URL that is malformed, of another kind, or holds a password or a database;
            or it is no path that exists and looks like a host and port, a URL or a path of Windows.
    """
    if not name.strip():
        raise InputError(
            f"--store is empty: give a directory, or {_USUAL} (an empty COFIRE_STORE, or an empty `store` in "
            "cofire.toml, counts as given)"
        )
    if "\0" in name:
        raise InputError(f"the store {_shown(name)} has a NUL character in it: give a directory, or {_USUAL}")
    if os.path.lexists(name):
        return Path(name)
    # Not all that does not print: emoji are joined by what does not, and a name need be no UTF-8.
    if name != name.strip() or any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in name):
        raise InputError(
            f"the store {_shown(name)} has blanks around it, or a line break or another control character in it: "
            "give it without"
        )
    if "://" in name:
        if not name.isprintable():
            raise InputError(f"the store {_shown(name)} has a character in it that no URL has: give it without")
        _check_url(name)
        return name
    _refuse_lookalike(name)
    path = from_home(name)
    if str(path).startswith("~"):
        raise InputError(f"the store {_shown(name)}: there is no user of that name; give the whole path")
    return path


def _shown(name: str) -> str:
    """A name as it may be shown: on one line, without what may be a password."""
    return repr(name.rpartition("@")[2] if "@" in name else name)


def _refuse_lookalike(name: str) -> None:
    """Refuse what is no path yet and was likely meant for a server, or for another system."""
    as_path = "(a directory of that name would be ./{})"
    found = _HOST_AND_PORT.fullmatch(name)
    if found is not None:
        place, secret = f"{found['host']}:{found['port']}", found["secret"]
        why = f"; its user and password belong in {_CREDENTIALS}" if secret else f" {as_path.format(place)}"
        raise InputError(f"{place}: did you mean bolt://{place}?{why}")
    if _HOST_ALONE.fullmatch(name):
        raise InputError(f"{name}: did you mean bolt://{name}:7687? {as_path.format(name)}")
    found = _SLASHES_LOST.fullmatch(name)
    if found is not None:
        scheme = "bolt" if found["scheme"].startswith("http") else found["scheme"]
        rest = found["rest"].rpartition("@")[2].lstrip("/") or "localhost:7687"
        raise InputError(f"{found['scheme']}:{rest}: did you mean {scheme}://{rest}?")
    if _WINDOWS.match(name):
        raise InputError(f"{name} looks like a path of Windows: give one of this system, such as /home/you/store")


def _check_url(text: str) -> None:
    shown = text.rpartition("@")[2] if "@" in text else text
    shown = re.split(r"[?#]", shown)[0]  # what follows may hold a password
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:  # its message may quote a password
        raise InputError(f"{shown} has a malformed host or port: give {_USUAL}") from None
    # A password with one of /?# in it is none to urlsplit.
    if url.scheme in (*_SCHEMES, "http", "https") and "@" in url.path + url.query + url.fragment:
        raise InputError(f"give the user of {shown} in {_CREDENTIALS}, not in the URL")
    if url.scheme == "file":
        raise InputError(f"{shown} is no store: give the directory itself, {url.path or '/path/to/store'}")
    if url.scheme in ("http", "https") and url.hostname:
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        raise InputError(
            f"{shown} is no store: cofire speaks Bolt, not HTTP; did you mean {_bolt(url.scheme)}://{host}:7687?"
        )
    if url.scheme not in _SCHEMES or not url.hostname:
        raise InputError(f"{shown} is no store: give a directory, or {_USUAL}")
    if url.username is not None or url.password is not None:
        raise InputError(f"give the user of {url.hostname} in {_CREDENTIALS}, not in the URL")
    _check_rest(url)


def _bolt(scheme: str) -> str:
    return "bolt+s" if scheme == "https" else "bolt"


def _check_rest(url: SplitResult) -> None:
    """Refuse what the driver would leave out without a word, or not take."""
    host = f"[{url.hostname}]" if ":" in str(url.hostname) else url.hostname
    server = f"{url.scheme}://{host}" + (f":{url.port}" if url.port else "")
    database = url.path.strip("/")
    if database:
        raise InputError(
            f"{server}/{database}: give the database in NEO4J_DATABASE (KnowledgeBase: database={database!r}), "
            f"and as the store {server}"
        )
    routed = url.scheme.startswith("neo4j") and not re.search(r"database|user|password", url.query, re.IGNORECASE)
    if url.fragment or (url.query and not routed):
        raise InputError(
            f"{server} has something behind it that a store's URL does not take: give {server}, "
            f"the database in NEO4J_DATABASE, user and password in {_CREDENTIALS}"
        )
