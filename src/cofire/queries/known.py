"""Whether the SAEs, latents and clusters that a question names are in the store, and what to say where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cofire.errors import QueryError
from cofire.queries.library import Query, nearest
from cofire.store import Store

__all__ = ["check_latents", "explain_nothing", "full_cluster", "known_sae", "unknown_sae"]

_SAES = "MATCH (s:Sae) RETURN s.uid AS uid, s.status AS status, s.nLatents AS latents ORDER BY uid"
_CLUSTER = """MATCH (c:Cluster {uid: $cluster})
MATCH (s:Sae) WHERE s.uid = c.sae AND s.status = 'ready'
RETURN c.uid AS cluster"""
_SHORT = """MATCH (s:Sae {status: 'ready'})
WITH s.uid AS sae, s.uid + '/' + $name AS uid
MATCH (c:Cluster {uid: uid})
RETURN uid ORDER BY uid"""
_SHOWN = 10


def known_sae(store: Store, uid: str, timeout: float | None = None) -> int:
    """Return the number of latents of an SAE whose load is complete.

    Raises:
        QueryError: there is no such SAE, or it is still loading or being deleted.
    """
    rows = store.read(_SAES, {}, timeout).rows
    for name, status, latents in rows:
        if name == uid and status == "ready":
            return int(latents)
    raise _unknown(uid, rows)


def unknown_sae(store: Store, uid: str, timeout: float | None = None) -> QueryError:
    """Return the error that says why no complete SAE of this uid is in the store."""
    return _unknown(uid, store.read(_SAES, {}, timeout).rows)


def check_latents(store: Store, sae: str, indices: Sequence[int], timeout: float | None = None) -> None:
    """Refuse indices that the SAE's latents do not have.

    Raises:
        QueryError: an index is beyond them, or the SAE is unknown.
    """
    latents = known_sae(store, sae, timeout)
    beyond = next((index for index in indices if not 0 <= index < latents), None)
    if beyond is not None:
        raise QueryError(f"latent {beyond} of {sae}: its latents are 0 to {latents - 1}")


def full_cluster(store: Store, name: str, timeout: float | None = None) -> str:
    """Return a cluster's uid, RELEASE/SAE_ID/NAME, where its short name is given, as tables show it; else `name`.

    Raises:
        QueryError: clusters of several SAEs have that name.
    """
    if not name or "/" in name:
        return name
    found = [row[0] for row in store.read(_SHORT, {"name": name}, timeout).rows]
    if len(found) > 1:
        raise QueryError(f"{name} is a cluster of {len(found)} SAEs; give its uid: {', '.join(found[:_SHOWN])}")
    return found[0] if found else name


def explain_nothing(store: Store, query: Query, bound: dict[str, Any], timeout: float | None = None) -> None:
    """Raise QueryError where an answer has no rows because its SAE, latent or cluster does not exist.

    Args:
        store: the store that was asked.
        query: the query.
        bound: all its parameters.
        timeout: seconds for each look into the store.
    """
    if not query.trusted:
        # What a user's own parameters mean only the user knows; `sae` alone is read as in the library, if it is text.
        if isinstance(bound.get("sae"), str):
            known_sae(store, bound["sae"], timeout)
        return
    for parameter in ("sae_a", "sae_b"):
        if parameter in bound:
            known_sae(store, bound[parameter], timeout)
    if "sae" in bound:
        check_latents(store, bound["sae"], [bound[p] for p in ("index", "a", "b") if p in bound], timeout)
    if "cluster" in bound and not store.read(_CLUSTER, {"cluster": bound["cluster"]}, timeout).rows:
        raise QueryError(f"unknown cluster {bound['cluster']}; `densest_clusters` lists those of an SAE")


def _unknown(uid: str, rows: Sequence[tuple[Any, ...]]) -> QueryError:
    status = next((row[1] for row in rows if row[0] == uid), "ready")
    if status == "deleting":
        return QueryError(
            f"{uid} is being deleted, or its deletion was stopped; run `cofire delete` again to finish, "
            "or `cofire ingest` to load it anew"
        )
    if status != "ready":
        return QueryError(f"{uid} is still loading, or its load was stopped; run `cofire ingest` again to finish")
    ready = [row[0] for row in rows if row[1] == "ready"]
    if not ready:
        return QueryError(f"unknown SAE {uid}: the store holds none; load one with `cofire ingest`")
    shown = ", ".join(ready[:_SHOWN]) + (f" and {len(ready) - _SHOWN} more" if len(ready) > _SHOWN else "")
    return QueryError(f"unknown SAE {uid}{nearest(uid, ready)}; ready are {shown}")
