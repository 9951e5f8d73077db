"""Puts: what comes in, under which condition, and the entry that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson
from sutler.errors import SutlerError
from xxhash import xxh3_64_hexdigest

from services.cache.caches import Cache, Compression
from services.cache.changes import Decision, Draft, Leave, Row, Store, View, check_room
from services.cache.entries import Blob, Entry, Kind, if_living, living, put_life
from services.cache.faults import already_exists, blob_not_found, entry_changed, lease_lost, value_too_large
from services.cache.leases import Lease
from services.cache.signing import NO_KEYS, Signer, signed_sha256


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for a put; at most one is set.

    Attributes:
        absent: There is no entry, or it has expired.
        etag: There is an entry with this etag.
        lease_token: This lease has not ended.
    """

    absent: bool = False
    etag: str = ""
    lease_token: str = ""


ALWAYS = Condition()


@dataclass(frozen=True, slots=True)
class Content:
    """A value on its way in.

    Attributes:
        kind: What it is.
        size: In bytes.
        checksum: The xxh3-128, as 32 hexadecimal digits.
        value: The bytes as stored; None if they are in a blob.
        blob: Where they are, if they are in a blob.
        packing: How ``value`` is packed.
        sha256: The SHA-256, as 64 hexadecimal digits; empty if it was not asked for, or in the blob.
    """

    kind: Kind
    size: int
    checksum: str
    value: bytes | None = None
    blob: Blob | None = None
    packing: Compression = Compression.NONE
    sha256: str = ""

    @property
    def stored_size(self) -> int:
        """The bytes that it takes at rest."""
        if self.blob is not None:
            return self.blob.stored_size
        return self.size if self.value is None else len(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One put.

    Attributes:
        key: Under which key.
        content: The value; None keeps the one that is there, or takes that of ``reference``.
        reference: The SHA-256 of a blob that an entry of the cache has; empty if none is meant.
        content_type: As in :class:`~services.cache.entries.Entry`.
        data_type: Likewise.
        metadata: Likewise.
        tags: Likewise.
        ttl: Seconds; the cache's default if None.
        expire_time: An absolute end, in seconds since 1970.
        condition: What must hold.
        seed: Tells this request from all others: its request id or something random.
    """

    key: str
    content: Content | None
    reference: str = ""
    content_type: str = ""
    data_type: str = ""
    metadata: str = "{}"
    tags: tuple[str, ...] = ()
    ttl: float | None = None
    expire_time: float | None = None
    condition: Condition = field(default=ALWAYS)
    seed: str

    @property
    def keeps_value(self) -> bool:
        """Whether the value that is there stays."""
        return self.content is None and not self.reference


def check_size(cache: Cache, size: int) -> None:
    """Checks that a value may be put at all.

    Raises:
        Invalid: If it is larger than the cache takes (TOO_LARGE).
    """
    for rule, limit in (("max_entry_bytes", cache.rules.max_entry_bytes), ("max_bytes", cache.max_bytes)):
        if limit and size > limit:
            raise value_too_large("entry", size, limit, rule=rule)


def put(cache: Cache, wanted: Put, draft: Draft | None = None, signer: Signer = NO_KEYS) -> Row:
    """Returns the change that puts an entry.

    It refuses with AlreadyExists or Conflict (ETAG_MISMATCH, LEASE_LOST) if the condition does not hold, unless it
    fails only because a first try of the same request wrote the entry; with NotFound (BLOB_NOT_FOUND, and as a get if
    the value is kept), Invalid (TOO_LARGE, EXPIRY_NOT_ALLOWED), Exhausted (CACHE_FULL) and FailedPrecondition
    (SIGNING_KEY_MISSING).

    Args:
        cache: The cache.
        wanted: What to put.
        draft: The blob that holds the value, if one does.
        signer: Signs the entry, where the cache wants that.
    """

    etag = _etag(wanted)

    def decide(view: View) -> Decision:
        found = if_living(view.entry, view.now)
        refusal = unmet(cache, wanted, found, view.lease)
        if refusal is not None:
            if found is not None and found.etag == etag:
                return Leave(signer.checked(cache, found))
            raise refusal
        content = _content(cache, wanted, view, signer)
        check_size(cache, content.size)
        life = put_life(cache, wanted.ttl, wanted.expire_time, view.now)
        entry = Entry(
            key=wanted.key,
            kind=content.kind,
            etag=etag,
            ttl=life.ttl,
            expire_time=life.expire_time,
            life_time=view.now,
            size=content.size,
            stored_size=content.stored_size,
            checksum=content.checksum,
            create_time=view.now if found is None else found.create_time,
            put_time=view.now,
            update_time=view.now,
            content_type=wanted.content_type,
            data_type=wanted.data_type,
            metadata=wanted.metadata,
            tags=wanted.tags,
            value=content.value,
            blob=content.blob,
            packing=content.packing,
        )
        check_room(cache, view, entry)
        return Store(signer.signed(cache, entry, content.blob.sha256 if content.blob else content.sha256))

    with_lease = bool(wanted.condition.lease_token)
    return Row(wanted.key, decide, with_value=wanted.keeps_value, with_lease=with_lease, draft=draft)


def unmet(cache: Cache, wanted: Put, found: Entry | None, lease: Lease | None) -> SutlerError | None:
    """Returns why the condition of a put does not hold; None if it does.

    Args:
        cache: The cache.
        wanted: What to put.
        found: The living entry that is there.
        lease: The lease of the key, if it lasts.
    """
    condition = wanted.condition
    if condition.absent and found is not None:
        return already_exists(cache.name, wanted.key)
    if condition.etag and (found is None or found.etag.strip('"') != condition.etag.strip('"')):
        return entry_changed(cache.name, wanted.key)
    if condition.lease_token and (lease is None or not lease.proven_by(condition.lease_token)):
        return lease_lost(cache.name, wanted.key)
    return None


def _content(cache: Cache, wanted: Put, view: View, signer: Signer) -> Content:
    if wanted.content is not None:
        return wanted.content
    if wanted.reference:
        blob = view.blob(wanted.reference)
        if blob is None:
            raise blob_not_found(cache.name, wanted.reference)
        return Content(Kind.BYTES, blob.size, blob.checksum, blob=blob)
    kept = signer.checked(cache, living(cache, wanted.key, view.entry, view.now))
    sha256 = signed_sha256(kept) if kept.verified else ""
    return Content(kept.kind, kept.size, kept.checksum, kept.value, kept.blob, kept.packing, sha256)


def _etag(wanted: Put) -> str:
    """Returns the etag of what is put: a repeat of the request makes the same one, any other request another."""
    content = wanted.content.checksum[:16] if wanted.content else wanted.reference[:16]
    return f'"{_origin(wanted)}{content}"'


def written_by(wanted: Put, found: Entry | None) -> bool:
    """Returns whether an earlier try of the same request may have written an entry, whatever its value."""
    return found is not None and found.etag.startswith(f'"{_origin(wanted)}')


def _origin(wanted: Put) -> str:
    described = (wanted.content_type, wanted.data_type, wanted.metadata, wanted.tags)
    return xxh3_64_hexdigest(orjson.dumps((wanted.seed, wanted.key, wanted.ttl, wanted.expire_time, *described)))
