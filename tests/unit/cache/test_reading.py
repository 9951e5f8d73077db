"""A blob that goes while its entry is put anew: what was read first is not there any more, what is there now counts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sutler.errors import NotFound

from services.cache.accesses import Accesses
from services.cache.backends import Backends, Configured
from services.cache.caches import Cache
from services.cache.counting import Counts
from services.cache.entries import Blob, Entry, Kind, checksum
from services.cache.faults import DamagedError
from services.cache.forms import Form, View
from services.cache.giving import Giving
from services.cache.reach import Reach
from services.cache.reading import Reads
from services.cache.recent import Recent
from services.cache.results import Found
from services.cache.signing import Signer, sha256_of
from tests.unit.cache.views import NOW, cache

SIGNER = Signer([b"k" * 32])
SIGNING = cache(signing=True, metadata_backend="m", blob_backend="b")


@dataclass
class Shelf:
    """A catalogue of one cache, and its backends: each look finds the next entry, until the last."""

    entries: list[Entry]
    files: dict[str, bytes] = field(default_factory=dict)

    def recall(self, tenant: str, cache_id: str) -> Cache:
        return SIGNING

    async def get(self, cache: Cache, key: str, *, value: bool) -> Found:
        return Found(self.entries.pop(0) if len(self.entries) > 1 else self.entries[0], NOW)

    async def load(self, blob: Blob) -> bytes:
        if blob.locator not in self.files:
            raise DamagedError("missing")
        return self.files[blob.locator]

    async def read(self) -> Entry:
        this: Any = self
        backends = Backends((), [Configured("m", "t", this)], [Configured("b", "t", this)])
        giving = Giving(backends, Accesses(), SIGNER, Counts())
        reads = Reads(Reach(this, backends), backends, giving, SIGNER, Counts(), Recent(0))
        given: list[Entry] = []

        def encode(cache: str, entry: Entry) -> bytes:
            given.append(entry)
            return b""

        await reads.answer("default", "caches/c", "k", Form(View.FULL, encode))
        return given[0]


def entry(value: bytes, locator: str = "") -> Entry:
    size, sha256, digest = len(value), sha256_of(value), checksum(value)
    bare = Entry("k", Kind.BYTES, '"e"', None, None, NOW, size, size, digest, NOW, NOW, NOW)
    blob = Blob(sha256, size, digest, "", locator, stored_size=size)
    placed = replace(bare, blob=blob) if locator else replace(bare, value=value)
    return replace(SIGNER.signed(SIGNING, placed, sha256), verified=False)


OLD = entry(b"old", "gone")


@pytest.mark.parametrize("newer", [entry(b"new"), entry(b"new", "there")])
async def test_what_is_there_now_is_given(newer: Entry) -> None:
    found = await Shelf([OLD, newer], {"there": b"new"}).read()
    assert (found.value, found.verified) == (b"new", True)


@pytest.mark.parametrize(
    ("newer", "reason"),
    [
        (replace(entry(b"new"), signature=""), "SIGNATURE_INVALID"),
        (entry(b"other", "there"), "SIGNATURE_INVALID"),
        (entry(b"new", "gone too"), "ENTRY_CORRUPT"),
        (OLD, "ENTRY_CORRUPT"),
    ],
)
async def test_what_is_there_now_is_checked_too(newer: Entry, reason: str) -> None:
    with pytest.raises(NotFound) as caught:
        await Shelf([OLD, newer], {"there": b"new"}).read()
    assert caught.value.reason == reason
