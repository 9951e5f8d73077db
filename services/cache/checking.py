"""Compares one entry with its value, and both with what was put."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

from services.cache.caches import Cache
from services.cache.entries import Blob, Entry, checksum
from services.cache.faults import DamagedError
from services.cache.packing import unpack
from services.cache.ports import BlobBackend
from services.cache.problems import ProblemKind
from services.cache.signing import ALTERED, Signer, sha256_of, signed_sha256

MAX_SEEN = 100_000
"""How many blobs are remembered, so that one that many entries have is read once."""


class StoppedError(Exception):
    """Somebody asked for the end of the work."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an entry.

    Attributes:
        kind: What.
        detail: More about it, for people.
    """

    kind: ProblemKind
    detail: str


@dataclass(slots=True)
class Effort:
    """What checking has cost so far.

    Attributes:
        blobs: How many blobs were checked.
        read_bytes: How many bytes were read.
    """

    blobs: int = 0
    read_bytes: int = 0


class Checker:
    """Checks the entries of one cache.

    Args:
        blobs: Where its blobs are.
        signer: Checks signatures, where the cache signs.
        metadata_only: Whether no value is read.
        stop: Ends the work when it is set.

    Attributes:
        effort: What it has cost.
    """

    def __init__(self, blobs: BlobBackend, signer: Signer, *, metadata_only: bool, stop: asyncio.Event) -> None:
        self.effort = Effort()
        self._blobs = blobs
        self._signer = signer
        self._metadata_only = metadata_only
        self._stop = stop
        self._seen: dict[str, Fault | None] = {}

    async def fault(self, cache: Cache, entry: Entry) -> Fault | None:
        """Returns what is wrong with an entry.

        Raises:
            StoppedError: If the work is to end.
            Unavailable: If the backend of blobs does not answer.
        """
        fault = self._inline(entry) if entry.blob is None else await self._in_blob(entry, entry.blob)
        if fault is None and cache.rules.signing:
            wrong = self._signer.fault(cache, entry) or self._forged(entry)
            fault = Fault(ProblemKind.SIGNATURE_INVALID, wrong) if wrong else None
        return fault

    def _inline(self, entry: Entry) -> Fault | None:
        if entry.value is None:
            return Fault(ProblemKind.BLOB_MISSING, "it has neither a value nor a blob")
        if len(entry.value) != entry.stored_size:
            return _wrong_size(len(entry.value), entry.stored_size)
        if self._metadata_only:
            return None
        self.effort.read_bytes += entry.stored_size
        try:
            value = unpack(entry.value, entry.packing, entry.size)
        except DamagedError as error:
            return _damaged(error)
        if checksum(value) != entry.checksum:
            return Fault(ProblemKind.CHECKSUM_MISMATCH, "its value does not fit its checksum")
        return None

    def _forged(self, entry: Entry) -> str:
        """Returns what is wrong with a value that was found whole, if it is not the one that was signed."""
        if entry.blob is not None:
            sha256 = entry.blob.sha256
        elif self._metadata_only or entry.value is None:
            return ""
        else:
            sha256 = sha256_of(unpack(entry.value, entry.packing, entry.size))
        return "" if sha256 == signed_sha256(entry) else ALTERED

    async def _in_blob(self, entry: Entry, blob: Blob) -> Fault | None:
        if blob.size != entry.size:
            return _wrong_size(blob.size, entry.size)
        if blob.checksum != entry.checksum:
            return Fault(ProblemKind.CHECKSUM_MISMATCH, "its blob has another checksum")
        if blob.locator not in self._seen:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen[blob.locator] = await self._blob_fault(blob)
            self.effort.blobs += 1
        return self._seen[blob.locator]

    async def _blob_fault(self, blob: Blob) -> Fault | None:
        digest, size = hashlib.sha256(), 0
        try:
            async for data in self._blobs.read(blob, blob.size if self._metadata_only else 0, 0):
                if self._stop.is_set():
                    raise StoppedError
                await asyncio.to_thread(digest.update, data)
                size += len(data)
        except DamagedError as error:
            return _damaged(error)
        self.effort.read_bytes += size
        if not self._metadata_only and digest.hexdigest() != blob.sha256:
            return Fault(ProblemKind.CHECKSUM_MISMATCH, "its blob does not have its SHA-256")
        return None


def _wrong_size(real: int, told: int) -> Fault:
    return Fault(ProblemKind.SIZE_MISMATCH, f"its value has {real} bytes, its metadata say {told}")


def _damaged(error: DamagedError) -> Fault:
    kinds = {"missing": ProblemKind.BLOB_MISSING, "size": ProblemKind.SIZE_MISMATCH}
    return Fault(kinds.get(error.cause, ProblemKind.CHECKSUM_MISMATCH), f"its value is damaged: {error.cause}")
