"""The journal of a load: who loads an SAE, and how far each writer has come.

One `LoadJournal` node for each writer. Each batch moves its writer's `done` on in the batch's own transaction, and does
nothing unless `done` stood where the batch begins and `holder` is still this load: a batch is applied exactly once,
whatever is killed, retried or run twice. While a holder lives nobody else may load or delete the SAE; when it is dead
the next one takes the journal over. A holder that was only thought dead (a machine asleep) finds itself out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from cofire.errors import ConflictError, StoreError
from cofire.schema.nodes import CAPTURE, LATENT, MODEL
from cofire.store.connect import Run, Store
from cofire.store.load import holder as holders
from cofire.store.plan.section import LoadPlan
from cofire.store.plan.shared_nodes import SharedNodes

Answer = TypeVar("Answer")
Outcome = Literal["loaded", "resumed", "replaced", "unchanged"]

DELETING = -1
"""The `done` of a journal while the SAE is being deleted."""

# It makes the node if there is none, and on Neo4j locks it either way.
_FIND = """MERGE (s:Sae {uid: $uid})
ON CREATE SET s.status = 'new'
SET s.status = s.status
RETURN s.status, s.contentHash"""
_JOURNALS = """MATCH (j:LoadJournal) WHERE j.sae = $uid
RETURN j.holder, timestamp() - j.beat, j.done ORDER BY j.writer"""
_TAKE_OVER = """MATCH (j:LoadJournal) WHERE j.sae = $uid
SET j.holder = $holder, j.beat = timestamp()
WITH j ORDER BY j.writer
RETURN j.done"""
_DROP_JOURNALS = "MATCH (j:LoadJournal) WHERE j.sae = $uid DELETE j"
_NEW_JOURNALS = """UNWIND range(0, $writers - 1) AS writer
CREATE (:LoadJournal {uid: $uid + '/journal/' + toString(writer), sae: $uid, writer: writer, done: $done,
                      holder: $holder, beat: timestamp()})"""
_NEW_SAE = "MATCH (s:Sae {uid: $uid}) SET s = $sae, s.status = 'loading', s.contentHash = $hash"
_STATUS = "MATCH (s:Sae {uid: $uid}) SET s.status = $status"
# The first SET takes the lock, so that what is compared is what the transaction before left.
_ADVANCE = """MATCH (j:LoadJournal {uid: $journal})
SET j.beat = timestamp()
WITH j WHERE j.holder = $holder AND j.done = $start
SET j.done = $stop
RETURN count(j)"""
_MODELS = """MATCH (m:Model)<-[:READS]-(s:Sae)
WHERE m.name IN $names AND NOT s.uid IN $uids
RETURN m.name, m.layers, m.width, s.uid ORDER BY s.uid"""
# By these and by the decoder of its first latents an SAE is told from another one of the same name.
_WHICH, _WHICH_WORDS = ("hook", "nLatents", "architecture"), ("hook", "number of latents", "architecture")
_WHICH_SAE = f"MATCH (s:Sae {{uid: $uid}}) RETURN {', '.join(f's.{name}' for name in _WHICH)}"
_DIRECTIONS = "MATCH (l:Latent) WHERE l.uid IN $uids RETURN l.uid, l.decoder"
LATENTS_COMPARED, SAME_DIRECTION = 3, 1e-3
_LOCK = "MATCH (s:Sae {uid: $uid}) SET s.status = s.status"


@dataclass(frozen=True)
class Claim:
    """The right to load or delete one SAE. Give it back with `give_back`.

    Attributes:
        uid: the SAE.
        holder: this load.
        outcome: what the load will have done when it ends.
        done: how many of its rows each writer has written; (DELETING,) while what is there has to go first.
    """

    uid: str
    holder: str
    outcome: Outcome
    done: tuple[int, ...]

    @property
    def deleting(self) -> bool:
        """Whether the SAE has to be deleted before anything else."""
        return DELETING in self.done


class Lost(StoreError):
    """Another process has taken over what this one was loading or deleting."""


def claim_load(store: Store, plan: LoadPlan, *, writers: int, replace: bool) -> Claim:
    """Claim an SAE for loading: find what the store has of it, and write down who is at work.

    Args:
        store: the store, its schema made.
        plan: what is to be loaded.
        writers: how many writers a new load has; one that goes on keeps its number.
        replace: what is there may be deleted.

    Raises:
        ConflictError: another process is at work on it, or the store has another version and `replace` is not given.
        StoreError: the store failed.
    """

    def work(run: Run, holder: str) -> Claim:
        status, content_hash, done = _state(run, plan.uid, store.location)
        same = content_hash == plan.content_hash
        if status == "new":
            begin(run, plan, holder, writers)
            return Claim(plan.uid, holder, "loaded", (0,) * writers)
        if status == "ready" and same:
            return Claim(plan.uid, holder, "unchanged", ())
        if status == "loading" and same and done:
            taken = run(_TAKE_OVER, {"uid": plan.uid, "holder": holder}).rows
            return Claim(plan.uid, holder, "resumed", tuple(int(row[0]) for row in taken))
        if status != "deleting" and not replace:
            raise _conflict(run, store.location, plan, status)
        return _to_delete(run, plan.uid, holder)

    return _claimed(store, work)


def check_conflicts(store: Store, plans: Sequence[LoadPlan]) -> None:
    """Refuse, before anything is loaded, plans that would need `replace`.

    Raises:
        ConflictError: the store has another version of one of the SAEs, ready or half loaded.
    """
    for plan in plans:
        rows = store.read("MATCH (s:Sae {uid: $uid}) RETURN s.status, s.contentHash", {"uid": plan.uid}).rows
        if rows and rows[0][0] != "deleting" and rows[0][1] != plan.content_hash:
            raise _conflict(store.read, store.location, plan, rows[0][0])


def check_shared(store: Store, plans: Sequence[LoadPlan]) -> None:
    """Refuse, before anything is loaded, two models under one name, of the plans or of the store's other SAEs.

    Tokens need no look: their keys tell their vocabularies apart.

    Raises:
        InputError: two SAEs know another number of layers, or another width, of a model of one name.
        StoreError: the store failed.
    """
    models = [(plan.uid, section.rows(0, section.count)) for plan in plans for section in plan.sections
              if section.kind == MODEL]  # fmt: skip
    shared = SharedNodes()
    asked = {"names": sorted({row[0] for _, rows in models for row in rows}), "uids": [plan.uid for plan in plans]}
    for *row, sae in store.read(_MODELS, asked).rows if models else []:
        shared.add(MODEL, [row], sae)
    for sae, rows in models:
        shared.add(MODEL, rows, sae)


def claim_deletion(store: Store, uid: str) -> Claim | None:
    """Claim an SAE for deletion; None when the store has none of that uid.

    Raises:
        ConflictError: another process is at work on it.
        StoreError: the store failed.
    """

    def work(run: Run, holder: str) -> Claim | None:
        if not run("MATCH (s:Sae {uid: $uid}) RETURN s.uid", {"uid": uid}).rows:
            return None
        _state(run, uid, store.location)
        return _to_delete(run, uid, holder)

    return _claimed(store, work)


def begin(run: Run, plan: LoadPlan, holder: str, writers: int) -> None:
    """Within a transaction: make the `Sae` node what the plan says, with status 'loading', and its journals."""
    run(_NEW_SAE, {"uid": plan.uid, "sae": plan.sae, "hash": plan.content_hash})
    run(_DROP_JOURNALS, {"uid": plan.uid})
    run(_NEW_JOURNALS, {"uid": plan.uid, "holder": holder, "writers": writers, "done": 0})


def begun(claim: Claim, writers: int) -> Claim:
    """Return the claim as it is after the deletion, when the load begins."""
    return replace(claim, done=(0,) * writers)


def finish(run: Run, claim: Claim, last: tuple[int, ...]) -> None:
    """Within a transaction: show the SAE to readers, and drop its journals.

    Raises:
        Lost: another process has taken over.
    """
    run(_LOCK, {"uid": claim.uid})
    found = run(_JOURNALS, {"uid": claim.uid}).rows
    if [(row[0], row[2]) for row in found] != [(claim.holder, done) for done in last]:
        raise Lost(_lost(claim))
    run(_DROP_JOURNALS, {"uid": claim.uid})
    run(_STATUS, {"uid": claim.uid, "status": "ready"})


def guarded(
    store: Store,
    claim: Claim,
    work: Callable[[Run], Answer],
    *,
    writer: int = 0,
    start: int = DELETING,
    stop: int = DELETING,
) -> Answer:
    """Run one batch in a transaction of its own that also moves the journal from `start` to `stop`.

    Raises:
        Lost: another process has taken over.
        StoreError: the store failed. Where the connection was lost during the commit the batch may be in the graph:
            whoever goes on with the load reads in the journal whether it is.
    """
    move = {
        "journal": f"{claim.uid}/journal/{writer}",
        "holder": claim.holder,
        "start": start,
        "stop": stop,
    }

    def guard(run: Run) -> Answer:
        if not run(_ADVANCE, move).rows[0][0]:
            raise Lost(_lost(claim))
        return work(run)

    return store.transact(guard)


def give_back(claim: Claim) -> None:
    """Say that this load is over, done or not: the next loader of this machine need not wait."""
    holders.release(claim.holder)


def holds(store: Store, uid: str) -> bool:
    """Tell whether the store has an SAE, ready or half loaded; one that is being deleted does not count."""
    rows = store.read("MATCH (s:Sae {uid: $uid}) RETURN s.status", {"uid": uid}).rows
    return bool(rows) and rows[0][0] != "deleting"


def _state(run: Run, uid: str, location: str) -> tuple[str, str | None, tuple[int, ...]]:
    """Return (status, contentHash, done of each writer); refuse where another process is at work."""
    status, content_hash = run(_FIND, {"uid": uid}).rows[0]
    journals = run(_JOURNALS, {"uid": uid}).rows
    for holder, silent, _ in journals:
        if holders.is_alive(holder, silent / 1000):
            doing = "deleting" if status == "deleting" else "loading"
            raise ConflictError(
                f"{holders.shown(holder)} is {doing} {uid} in {location}, with a sign of life "
                f"{silent / 1000:.0f} s ago; wait for it, or end it, and run this again"
            )
    return status, content_hash, tuple(int(row[2]) for row in journals)


def _to_delete(run: Run, uid: str, holder: str) -> Claim:
    run(_STATUS, {"uid": uid, "status": "deleting"})
    run(_DROP_JOURNALS, {"uid": uid})
    run(_NEW_JOURNALS, {"uid": uid, "holder": holder, "writers": 1, "done": DELETING})
    return Claim(uid, holder, "replaced", (DELETING,))


def _claimed(store: Store, work: Callable[[Run, str], Answer]) -> Answer:
    holder = holders.acquire()
    try:
        return store.transact(lambda run: work(run, holder))
    except BaseException:
        holders.release(holder)
        raise


def _conflict(read: Run, location: str, plan: LoadPlan, status: str) -> ConflictError:
    """Say what stands in the way. Where it is another SAE of the same name, --replace would delete it for nothing."""
    if difference := _another_sae(read, plan):
        return ConflictError(
            f"{location} holds another SAE under the name {plan.uid} ({difference}): {_anew(plan)} under a name of "
            "its own; or, if it is the same SAE trained anew, add --replace, which deletes the one in the store"
        )
    which = "a half-loaded" if status == "loading" else "another"
    return ConflictError(f"{location} holds {which} version of {plan.uid}; add --replace to put this one in its place")


def _anew(plan: LoadPlan) -> str:
    """Say how a capture is made again under another name."""
    kind = [p.name for p in CAPTURE.properties].index("kind")
    [row] = next(section for section in plan.sections if section.kind == CAPTURE).rows(0, 1)
    return (
        "import this one again (--release, --sae-id)"
        if row[kind] == "import"
        else "capture this one again (--sae RELEASE:SAE_ID=DIR)"
    )


def _another_sae(read: Run, plan: LoadPlan) -> str | None:
    """Say in what the SAE of the store is another than that of the plan; None where nothing shows that it is."""
    for there, name, words in zip(read(_WHICH_SAE, {"uid": plan.uid}).rows[0], _WHICH, _WHICH_WORDS, strict=True):
        here = plan.sae.get(name)
        if None not in (there, here) and there != here:
            return f"{words} {there}, here {here}"
    latents = next(section for section in plan.sections if section.kind == LATENT)
    uid, decoder = ([p.name for p in LATENT.properties].index(name) for name in ("uid", "decoder"))
    here = {row[uid]: row[decoder] for row in latents.rows(0, min(latents.count, LATENTS_COMPARED))}
    for latent, there in read(_DIRECTIONS, {"uids": list(here)}).rows:
        if None not in (there, here[latent]) and not _close(there, here[latent]):
            return f"the decoder direction of latent {latent.rsplit('/', 1)[1]} is another"
    return None


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    """Tell whether two directions of norm 1 are the same up to how a server stores numbers."""
    return len(a) == len(b) and all(abs(x - y) < SAME_DIRECTION for x, y in zip(a, b, strict=True))


def _lost(claim: Claim) -> str:
    return f"{claim.uid} was taken over by another process while this one worked on it; run the same command again"
