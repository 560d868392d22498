"""Where a store is: a directory, or the URL of a server."""

from __future__ import annotations

from urllib.parse import urlsplit

from cofire.errors import InputError

__all__ = ["check_url"]

_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


def check_url(text: str) -> None:
    """Pass the URL of a server that the driver can be given.

    Raises:
        InputError: it is malformed, of another kind, or holds a password.
    """
    shown, usual = text.split("@")[-1], "a URL such as bolt://localhost:7687"
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:  # its message may quote a password
        raise InputError(f"{shown} has a malformed host or port: give {usual}") from None
    if url.scheme not in _SCHEMES or not url.hostname:
        raise InputError(f"{shown} is no store: give a directory, or {usual}")
    if url.username or url.password:
        raise InputError(f"give the user of {url.hostname} in NEO4J_USERNAME and NEO4J_PASSWORD, not in the URL")
