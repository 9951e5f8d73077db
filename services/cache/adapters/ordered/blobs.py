"""Which blobs there are, and how many entries of which cache refer to them."""

from __future__ import annotations

import time
from dataclasses import replace

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import StoredBlob, dump_blob, load_blob
from services.cache.adapters.ordered.spaces import Room, room_by_number
from services.cache.adapters.ordered.steps import Step
from services.cache.changes import Draft
from services.cache.entries import Blob
from services.cache.faults import BlobGoneError

MAX_UNUSED_SECONDS = 30.0
"""A blob that was written longer ago must be written anew: the sweep takes orphans that are twice as old."""


def find(step: Step, tenant: str, backend: str, sha256: str) -> StoredBlob | None:
    """Returns a blob that a tenant has in a backend."""
    return load_blob(step.get(keys.blob(tenant, backend, sha256)))


def used_in(stored: StoredBlob, space: int) -> bool:
    """Returns whether an entry of a cache refers to a blob."""
    return str(space) in stored.uses


def adopt(room: Room, draft: Draft) -> None:
    """Makes the blob of a draft known; an equal one that is known gets the newer file, which is whole.

    That may be packed in another way: then every cache that refers to it counts anew.

    Raises:
        BlobGoneError: If the draft has no file and there is no equal blob any more, or its file is so old that the
            sweep of orphans may have taken it.
    """
    stored = _found(room, draft.blob.sha256)
    if not draft.blob.locator:
        if stored is None:
            raise BlobGoneError
        return
    if time.time() - draft.written_time > MAX_UNUSED_SECONDS:  # by the clock that dates files, as the sweep does
        raise BlobGoneError
    if stored is None:
        _save(room, StoredBlob(draft.blob, {}))
    elif stored.blob.locator != draft.blob.locator:
        _discard(room, stored.blob.locator)
        _save(room, replace(stored, blob=draft.blob))
        _recount(room, stored, draft.blob.stored_size - stored.blob.stored_size)
    room.step.put(keys.locator(draft.blob.locator), _key(room, draft.blob.sha256))


def use(room: Room, sha256: str) -> Blob:
    """Counts an entry that refers to a blob, and returns the blob.

    Raises:
        BlobGoneError: If there is none.
    """
    stored = _found(room, sha256)
    if stored is None:
        raise BlobGoneError
    number = str(room.number)
    if number not in stored.uses:
        room.add(blobs=1, stored=stored.blob.stored_size)
    _save(room, replace(stored, uses={**stored.uses, number: stored.uses.get(number, 0) + 1}))
    return stored.blob


def release(room: Room, sha256: str) -> None:
    """Counts an entry that no longer refers to a blob, and lets the blob go if no other does."""
    stored, number = _found(room, sha256), str(room.number)
    if stored is None or number not in stored.uses:
        return
    uses = {**stored.uses, number: stored.uses[number] - 1}
    if not uses[number]:
        del uses[number]
        room.add(blobs=-1, stored=-stored.blob.stored_size)
    _keep(room, replace(stored, uses=uses))


def correct(room: Room, sha256: str, more: int) -> None:
    """Corrects how many entries refer to a blob, and lets it go if none does; what the cache takes stays."""
    stored, number = _found(room, sha256), str(room.number)
    if stored is None:
        return
    uses = {**stored.uses, number: stored.uses.get(number, 0) + more}
    if uses[number] <= 0:
        del uses[number]
    _keep(room, replace(stored, uses=uses))


def _keep(room: Room, stored: StoredBlob) -> None:
    if stored.uses:
        _save(room, stored)
        return
    room.step.delete(_key(room, stored.blob.sha256))
    _discard(room, stored.blob.locator)


def _recount(room: Room, stored: StoredBlob, more: int) -> None:
    if not more:
        return
    for number in map(int, stored.uses):
        if number == room.number:
            room.add(stored=more)
        elif (other := room_by_number(room.step, number)) is not None:
            other.add(stored=more)
            other.save()


def _found(room: Room, sha256: str) -> StoredBlob | None:
    return find(room.step, room.known.tenant, room.known.blob_backend, sha256)


def _save(room: Room, stored: StoredBlob) -> None:
    room.step.put(_key(room, stored.blob.sha256), dump_blob(stored))


def _key(room: Room, sha256: str) -> bytes:
    return keys.blob(room.known.tenant, room.known.blob_backend, sha256)


def _discard(room: Room, locator: str) -> None:
    found = keys.garbage(room.step.now, locator)
    room.step.put(keys.locator(locator), found)
    room.step.put(found, room.known.blob_backend.encode())
