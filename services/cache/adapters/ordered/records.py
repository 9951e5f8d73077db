"""What records hold: JSON objects, readable for people. Behind that of an entry stand its metadata, as they came."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import NoneType
from typing import Any, TypeVar

import orjson
from sutler.idempotency import Once, Remembered

from services.cache.backend_faults import unreadable
from services.cache.caches import Compression, Usage
from services.cache.entries import Blob, Entry, Kind, Unreadable, metadata_of
from services.cache.leases import Lease
from services.cache.telling import Cause, Invalidation, Scope


@dataclass(frozen=True, slots=True)
class Held:
    """An entry as it is stored.

    Attributes:
        entry: The entry, without its value and its blob.
        purge_time: When it is removed; None if never.
        worth: Where it stands in the order of eviction.
        sha256: Which blob has its value; empty if none has.
    """

    entry: Entry
    purge_time: float | None
    worth: float
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Space:
    """What is known of a cache.

    Attributes:
        tenant: Whose it is.
        blob_backend: Where its blobs are.
        usage: What it takes.
        told: The number of the last thing that followers were told.
        followed_from: The number after which all things are kept.
        followed_until: Until when things are told, in seconds since 1970.
    """

    tenant: str
    blob_backend: str
    usage: Usage = field(default_factory=Usage)
    told: int = 0
    followed_from: int = 0
    followed_until: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob, and who refers to it.

    Attributes:
        blob: The blob.
        uses: How many entries of each cache refer to it, by the cache's number.
    """

    blob: Blob
    uses: Mapping[str, int]


T = TypeVar("T")

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError)
"""What a record raises that holds something else than was written."""

_NAMES = {"size": "size_bytes", "stored_size": "stored_bytes"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("etag", "checksum", "content_type", "data_type", "signature", "sha256"), (str,)),
    **dict.fromkeys(("life_time", "create_time", "put_time", "update_time", "worth"), (int, float)),
    **dict.fromkeys(("ttl", "expire_time", "access_time", "purge_time"), (int, float, NoneType)),
    **dict.fromkeys(("size_bytes", "stored_bytes", "hit_count"), (int,)),
    "tags": (list,),
}
_LEFT_OUT = ("key", "metadata", "value", "blob", "kind", "packing", "verified")


def dump_entry(held: Held) -> bytes:
    """Returns the record of an entry."""
    entry = held.entry
    described: dict[str, Any] = {"kind": entry.kind.name, "packing": entry.packing.name}
    for name in entry.__slots__:
        if name not in _LEFT_OUT:
            described[_NAMES.get(name, name)] = getattr(entry, name)
    described |= {"purge_time": held.purge_time, "worth": held.worth, "sha256": held.sha256}
    return orjson.dumps(described) + b"\n" + entry.metadata.encode()


def load_entry(key: str, record: bytes) -> Held | Unreadable:
    """Returns the entry in a record."""
    described, _, metadata = record.partition(b"\n")
    try:
        found = orjson.loads(described)
        _check_types(found)
        purge_time, worth, sha256 = found.pop("purge_time"), found.pop("worth"), found.pop("sha256")
        for name, stored in _NAMES.items():
            found[name] = found.pop(stored)
        found["kind"], found["packing"] = Kind[found["kind"]], Compression[found["packing"]]
        found["tags"] = tuple(found["tags"])
        return Held(Entry(key=key, metadata=metadata_of(metadata.decode()), **found), purge_time, worth, sha256)
    except _DAMAGE as error:
        return Unreadable(key, f"{type(error).__name__} in its record")


def _check_types(found: Mapping[str, Any]) -> None:
    """Checks the fields of an entry: whoever edits a file by hand may have written others."""
    wrong = [name for name, value in found.items() if name in _TYPES and not isinstance(value, _TYPES[name])]
    if wrong or not all(isinstance(tag, str) for tag in found["tags"]):
        raise TypeError(f"not of the right type: {wrong or 'tags'}")


def dump_space(space: Space) -> bytes:
    """Returns the record of a cache."""
    return orjson.dumps(asdict(space))


def load_space(record: bytes) -> Space:
    """Returns what is known of a cache.

    Raises:
        DataLoss: If it cannot be read (STORAGE_UNAVAILABLE).
    """
    try:
        found = orjson.loads(record)
        return Space(**found | {"usage": Usage(**found["usage"])})
    except _DAMAGE as error:
        raise unreadable("a cache") from error


def dump_blob(stored: StoredBlob) -> bytes:
    """Returns the record of a blob."""
    described = asdict(stored.blob) | {"packing": stored.blob.packing.name}
    return orjson.dumps({"blob": described, "uses": dict(stored.uses)})


def load_blob(record: bytes | None) -> StoredBlob | None:
    """Returns a blob and who refers to it; None if there is none, or its record cannot be read."""

    def load(found: Any) -> StoredBlob:
        described = found["blob"]
        blob = Blob(**described | {"packing": Compression[described["packing"]]})
        return StoredBlob(blob, {number: int(count) for number, count in found["uses"].items()})

    return _loaded(record, load)


def load_count(record: bytes | None) -> int:
    """Returns a count; 0 if there is none, or it cannot be read."""
    return _loaded(record, int) or 0


def dump_lease(lease: Lease) -> bytes:
    """Returns the record of a lease."""
    return orjson.dumps({"token": lease.token, "tags": lease.tags, "expire_time": lease.expire_time})


def load_lease(key: str, record: bytes | None) -> Lease | None:
    """Returns the lease of a key; None if there is none, or its record cannot be read."""
    return _loaded(
        record, lambda found: Lease(key, str(found["token"]), tuple(found["tags"]), float(found["expire_time"]))
    )


def dump_news(told: Invalidation) -> bytes:
    """Returns the record of a thing that followers are told."""
    return orjson.dumps({**asdict(told), "scope": told.scope.name, "cause": told.cause.name})


def load_news(record: bytes) -> Invalidation:
    """Returns what followers are told: to forget everything, if it cannot be read."""
    told = _loaded(
        record,
        lambda found: Invalidation(
            Scope[found["scope"]], str(found["text"]), Cause[found["cause"]], float(found["time"]), str(found["etag"])
        ),
    )
    return told or Invalidation(Scope.ALL, "", Cause.CACHE, 0.0)


def dump_answer(once: Once, result: object, expire_time: float) -> bytes:
    """Returns the record of the answer to a request."""
    texts = {"hash": _to_text(once.hash), "answer": _to_text(once.encode(result))}
    return orjson.dumps({**texts, "expire_time": expire_time})


def load_answer(record: bytes | None) -> Remembered | None:
    """Returns the answer to a request; None if there is none, or its record cannot be read."""
    return _loaded(
        record,
        lambda found: Remembered(b64decode(found["hash"]), b64decode(found["answer"]), float(found["expire_time"])),
    )


def with_blob(held: Held, stored: StoredBlob | None) -> Entry:
    """Returns an entry with its blob; a blob that is not known any more has no locator."""
    if not held.sha256:
        return held.entry
    entry = held.entry
    gone = Blob(held.sha256, entry.size, entry.checksum, "", "")
    return replace(entry, blob=stored.blob if stored is not None else gone)


def _loaded(record: bytes | None, load: Callable[[Any], T]) -> T | None:
    if record is None:
        return None
    try:
        return load(orjson.loads(record))
    except _DAMAGE:
        return None


def _to_text(data: bytes) -> str:
    return b64encode(data).decode()
