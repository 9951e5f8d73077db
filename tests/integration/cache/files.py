"""Files of a place: which blobs it has, which of them its metadata know, and copies of its database."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sutler.backends import BackendKind, OrderedStore

from services.cache.adapters import registry
from services.cache.adapters.ordered import keys, looking
from services.cache.adapters.ordered.records import load_blob
from tests.integration.cache.damage import database
from tests.integration.cache.places import Place

ORPHAN_SECONDS = 60


@dataclass(frozen=True)
class Known:
    """Attributes:
    wanted: The locators of blobs that there are.
    garbage: Those of blobs that are to be removed.
    """

    wanted: frozenset[str]
    garbage: frozenset[str]


async def check_files(place: Place) -> bool:
    """Checks that no blob lacks its file; returns whether no file that nobody refers to is older than a minute."""
    known = await _known(place)
    files = {file: file.stat().st_mtime for file in place.blobs.rglob("*") if file.is_file() and file.name != "owner"}
    assert {place.blobs / locator for locator in known.wanted} <= set(files)
    expected = {place.blobs / locator for locator in known.wanted | known.garbage}
    oldest = time.time() - ORPHAN_SECONDS
    return {file for file, written in files.items() if written < oldest} <= expected


async def _known(place: Place) -> Known:
    if place.metadata == "local":
        with database(place) as run:
            found = [frozenset(row[0] for row in run(f"SELECT locator FROM {name}")) for name in ("blobs", "garbage")]
        return Known(*found)
    store = opened(place)
    try:
        stored = [load_blob(record) for _, record in await _records(store, b"blob/")]
        blobs = [each.blob.locator for each in stored if each is not None]
        garbage = [keys.garbage_locator(key) for key, _ in await _records(store, keys.GARBAGE)]
        named = {keys.text(key).partition("/")[2] for key, _ in await _records(store, b"locator/")}
    finally:
        await store.close()
    assert named == {*blobs, *garbage}
    return Known(frozenset(blobs), frozenset(garbage))


def opened(place: Place) -> OrderedStore:
    """Opens the store of a metadata backend behind the server's back; whoever calls closes it."""
    options = dict(place.backends[place.metadata])
    kind = registry().find(BackendKind.METADATA, options.pop("type"))
    assert kind is not None
    store = kind.factory(kind.options.model_validate(options))
    assert isinstance(store, OrderedStore)
    return store


async def _records(store: OrderedStore, start: bytes) -> list[tuple[bytes, bytes]]:
    return [each async for group in looking.records(store, start, keys.below(start)) for each in group]


def copy(source: Path, target: Path) -> None:
    """Makes one SQLite file what another is."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
