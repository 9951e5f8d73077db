"""Signatures: with them an entry can be told from one that somebody wrote into the store without the keys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace

import orjson

from services.cache.caches import Cache
from services.cache.entries import Entry
from services.cache.faults import signature_invalid, signing_key_missing

VERSION = "1"
ALTERED = "altered"
UNSIGNED = "unsigned"
UNKNOWN_KEY = "unknown key"
_NAME_BYTES = 8


class Signer:
    """Signs entries, and checks their signatures.

    A signature is an HMAC-SHA256 over tenant, cache, key, kind, content type, data type, metadata, tags, size and the
    SHA-256 of the value as it was put: all that only a put decides. It does not cover the life of an entry and its
    accesses, and does not tell an entry from one that stood under the same key before.

    Args:
        keys: 32 bytes each. The first signs; all verify, so that a key can be changed. Without any, nothing is signed.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_name(key): key for key in keys}

    def check_key(self) -> None:
        """Checks that there is a key to sign with.

        Raises:
            FailedPrecondition: If not (SIGNING_KEY_MISSING).
        """
        if not self._keys:
            raise signing_key_missing()

    def signed(self, cache: Cache, entry: Entry, sha256: str) -> Entry:
        """Returns an entry with its signature, or without one where the cache does not sign.

        Args:
            cache: Its cache.
            entry: What is put.
            sha256: The SHA-256 of its value as it was put, as 64 hexadecimal digits.

        Raises:
            FailedPrecondition: If there is no key (SIGNING_KEY_MISSING).
        """
        if not cache.rules.signing:
            return _unverified(entry)
        self.check_key()
        name, key = next(iter(self._keys.items()))
        proof = hmac.digest(key, covered(cache, entry, sha256), "sha256").hex()
        return replace(entry, signature=".".join((VERSION, name, sha256, proof)), verified=True)

    def fault(self, cache: Cache, entry: Entry) -> str:
        """Returns what is wrong with a signature: ``unsigned``, ``unknown key`` or ``altered``; nothing if empty.

        The value is not looked at: it is right if it has the SHA-256 that :func:`signed_sha256` tells.
        """
        if not entry.signature:
            return UNSIGNED
        version, _, rest = entry.signature.partition(".")
        parts = rest.split(".")
        if version != VERSION or len(parts) != 3:
            return ALTERED
        name, sha256, proof = parts
        key = self._keys.get(name)
        if key is None:
            return UNKNOWN_KEY
        if entry.blob is not None and entry.blob.sha256 != sha256:
            return ALTERED
        try:
            expected = hmac.digest(key, covered(cache, entry, sha256), "sha256").hex()
        except orjson.JSONDecodeError:  # the metadata are no JSON any more
            return ALTERED
        return "" if hmac.compare_digest(proof.encode(), expected.encode()) else ALTERED

    def checked(self, cache: Cache, entry: Entry) -> Entry:
        """Returns an entry whose signature is right, or any where the cache does not sign.

        Raises:
            NotFound: If it is not right (SIGNATURE_INVALID).
        """
        if not cache.rules.signing:
            return _unverified(entry)
        cause = self.fault(cache, entry)
        if cause:
            raise signature_invalid(cache.name, entry.key, cause)
        return replace(entry, verified=True)


NO_KEYS = Signer(())
"""For caches that do not sign; nothing can be put into others with it."""


def signed_sha256(entry: Entry) -> str:
    """Returns the SHA-256 that the value of an entry with a right signature must have."""
    return entry.signature.split(".")[2]


def sha256_of(value: bytes) -> str:
    """Returns the SHA-256 of a value, as 64 hexadecimal digits."""
    return hashlib.sha256(value).hexdigest()


def covered(cache: Cache, entry: Entry, sha256: str) -> bytes:
    """Returns what a signature covers: a JSON list, so that no two entries make the same bytes.

    Metadata and tags are in one order, for stores may give them back in another.
    """
    metadata = entry.metadata
    if metadata != "{}":
        metadata = orjson.dumps(orjson.loads(metadata), option=orjson.OPT_SORT_KEYS).decode()
    return orjson.dumps(
        [
            VERSION,
            cache.tenant,
            cache.name,
            entry.key,
            int(entry.kind),
            entry.content_type,
            entry.data_type,
            metadata,
            sorted(entry.tags),
            entry.size,
            sha256,
        ]
    )


def _unverified(entry: Entry) -> Entry:
    """Returns an entry that says of itself that it was not verified, whatever a store made of it."""
    return replace(entry, verified=False) if entry.verified else entry


def _name(key: bytes) -> str:
    return hashlib.sha256(b"sutler-signing-key\0" + key).hexdigest()[: 2 * _NAME_BYTES]
