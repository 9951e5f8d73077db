"""The cache without a server around it, for what shows only inside of a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sutler.errors import Conflict, Unavailable
from sutler.store import open_database
from sutler.store.keys import token_sealer
from sutler.watch import Watcher

from services.cache.accesses import Accesses
from services.cache.adapters import FILES, LOCAL, own_type, registry
from services.cache.adapters.database import MIGRATIONS, DatabaseEntries, StoredCatalogue
from services.cache.adapters.filesystem import FilesystemBytes, FilesystemOptions
from services.cache.adapters.objects import ObjectBlobs
from services.cache.backends import Backends, Configured
from services.cache.caches import Cache, Rules
from services.cache.counting import Counts
from services.cache.entries import Kind, checksum
from services.cache.gauges import Gauges
from services.cache.giving import Giving
from services.cache.leases import Lease
from services.cache.leasing import Leased, Wish, origin
from services.cache.lines import Lines
from services.cache.puts import Content, Put, put
from services.cache.reach import Reach
from services.cache.results import Found
from services.cache.signing import NO_KEYS
from services.cache.waiting import Leases
from services.cache.watching import Watches
from tests.integration.cache.places import place_of

DATABASES = ["sqlite", "postgresql"]


class CountedEntries(DatabaseEntries):
    """Counts the looks at leases, and can be away."""

    looks = 0
    away = False

    async def get(self, cache: Cache, key: str, *, value: bool, lease: bool = False) -> Found:
        self.looks += lease
        if self.away:
            raise Unavailable("away", reason="STORAGE_UNAVAILABLE")
        return await super().get(cache, key, value=value, lease=lease)

    async def spoil(self, cache: Cache) -> None:
        """Makes the usage of a cache wrong."""
        await self._db.write(lambda tx: tx.execute("UPDATE spaces SET entries = 7 WHERE space = ?", (cache.space,)))


@dataclass(frozen=True)
class Desk:
    """A cache, who gives its leases, and who tells what changes."""

    cache: Cache
    entries: CountedEntries
    leases: Leases
    watches: Watches

    async def ask(self, wait: float = 60.0, duration: float = 600.0) -> Leased:
        wish = Wish(key="k", duration=duration, wait=wait, max_stale=None, tags=(), origin=origin(""))
        return await self.leases.lease("default", "caches/c", wish)

    async def release(self, lease: Lease | None) -> None:
        assert lease is not None
        await self.leases.release("default", "caches/c", lease.key, lease.token, None)

    async def put(self, key: str) -> None:
        content = Content(Kind.BYTES, 1, checksum(b"x"), b"x")
        await self.entries.change(self.cache, [put(self.cache, Put(key=key, content=content, seed=key))])

    async def free(self) -> bool:
        try:
            await self.release((await self.ask(0.0)).lease)
        except Conflict:
            return False
        return True


@asynccontextmanager
async def desk(engine: str, folder: Path) -> AsyncIterator[Desk]:
    with place_of(engine, folder) as place:
        async with open_database(place.data, name="cache", migrations=MIGRATIONS) as database:
            files = ObjectBlobs(FilesystemBytes(FilesystemOptions(folder=place.blobs)))
            catalogue = StoredCatalogue(database, timedelta(days=1))
            entries = CountedEntries(database, timedelta(days=1), 1.0)
            types = registry()
            backends = Backends(
                types.all_types(),
                metadata=[Configured(LOCAL, own_type(types, database.dialect), entries)],
                blobs=[Configured(FILES, own_type(types, "filesystem"), files)],
            )
            wanted = Cache(tenant="default", id="c", rules=backends.chosen(Rules()))
            cache = await catalogue.create(wanted, None, validate_only=False)
            reach = Reach(catalogue, backends)
            giving = Giving(backends, Accesses(), NO_KEYS, Counts())
            shutdown = asyncio.Event()
            lines = Lines(giving, shutdown, Counts())
            watches = Watches(reach, Watcher(await token_sealer(database), shutdown), Gauges())
            yield Desk(cache, entries, Leases(reach, giving, lines, Counts(), Gauges()), watches)
            shutdown.set()
            await lines.close()
