"""Backends as an operator configured them: what is wrong with that, and how they are opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError
from sutler.backends import BackendKind, BackendType, ByteStore, OrderedStore, Registry
from sutler.store import open_database
from sutler.store.requests import StoredAnswers
from sutler.store.retention import Sweeper

from services.cache.adapters.database import MIGRATIONS, DatabaseEntries, StoredCatalogue, elsewhere
from services.cache.adapters.database.elsewhere import CopiedCaches
from services.cache.adapters.database.places import DatabaseUrl
from services.cache.adapters.elsewhere import Elsewhere
from services.cache.adapters.objects import ObjectBlobs, Owner
from services.cache.adapters.opening import Opened, Opening
from services.cache.adapters.ordered import OrderedEntries
from services.cache.adapters.ordered import claim as ordered
from services.cache.backends import Configured, passing
from services.cache.ports import BlobBackend, MetadataBackend

Settings = Mapping[str, Mapping[str, Any]]


def problems(registry: Registry, kind: BackendKind, given: Settings, *, workers: int) -> Iterator[str]:
    """Yields what is wrong with the settings of backends; no value of theirs is in it."""
    for name, described in given.items():
        found = registry.find(kind, str(described.get("type", "")))
        if found is None:
            known = ", ".join(sorted(each.type for each in _all(registry, kind)))
            yield f"[{name}][type]: must be one of {known}"
            continue
        if found.missing:
            yield f"[{name}]: {found.type} cannot be used: {found.missing}"
        if workers > 1 and passing(found):
            yield f"[{name}]: {found.type} is in the memory of one process, so workers must be 1"
        try:
            _options(found, described)
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False, include_context=False):
                where = "".join(f"[{part}]" for part in problem["loc"])
                yield f"[{name}]{where}: {problem['msg'].removeprefix('Value error, ')}"


class MetadataOpener:
    """Opens metadata backends that an operator configured, each when it answers.

    Args:
        registry: The types that there are.
        catalogue: Where the caches are.
        installation: What tells this installation from others.
        keep: How long answers of repeated requests are remembered.
        grace: Seconds that a blob stays after its last reference went.
    """

    def __init__(
        self, registry: Registry, catalogue: StoredCatalogue, installation: bytes, keep: timedelta, grace: float
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._installation = installation
        self._keep = keep
        self._grace = grace

    def configured(self, name: str, described: Mapping[str, Any]) -> tuple[Configured[MetadataBackend], Opening]:
        """Returns a backend, and what opens it."""
        kind = self._registry.find(BackendKind.METADATA, described["type"])
        assert kind is not None
        opening = Opening(name, partial(self._open, kind, described))
        return Configured(name, kind, Elsewhere(opening, self._catalogue), opening.durable), opening

    async def _open(self, kind: BackendType, described: Mapping[str, Any], stack: AsyncExitStack) -> Opened:
        made = kind.factory(_options(kind, described))
        if isinstance(made, DatabaseUrl):
            return await self._open_database(made, stack)
        assert isinstance(made, OrderedStore)
        stack.push_async_callback(made.close)
        await ordered.claim(made, self._installation)
        await self._catalogue.pass_over(await ordered.highest_number(made))
        entries = OrderedEntries(made, self._keep, self._grace)
        return Opened(entries, entries.answers, made.durable)

    async def _open_database(self, url: str, stack: AsyncExitStack) -> Opened:
        database = await stack.enter_async_context(open_database(url, name="cache", migrations=MIGRATIONS))
        await elsewhere.claim(database, self._installation)
        await self._catalogue.pass_over(await elsewhere.highest_number(database))
        copies = CopiedCaches(database)
        return Opened(
            DatabaseEntries(database, self._keep, self._grace),
            StoredAnswers(database),
            copy=copies.copy,
            forget=copies.forget,
            work=Sweeper(database, []).run,
        )


def open_blobs(
    stack: AsyncExitStack, registry: Registry, given: Settings, mark: bytes
) -> Iterator[tuple[Configured[BlobBackend], Owner | None]]:
    """Yields blob backends, which are closed with the stack, and what knows whose they are, unless they are in memory.

    Args:
        stack: What closes them.
        registry: The types that there are.
        given: What the operator configured.
        mark: What tells this installation from others.
    """
    for name, described in given.items():
        kind = registry.find(BackendKind.BLOB, described["type"])
        assert kind is not None
        made = kind.factory(_options(kind, described))
        assert isinstance(made, ByteStore)
        stack.push_async_callback(made.close)
        owner = None if passing(kind) else Owner(name, made, mark)
        yield Configured(name, kind, ObjectBlobs(made, owner)), owner


def _all(registry: Registry, kind: BackendKind) -> list[BackendType]:
    return registry.list_metadata_backends() if kind is BackendKind.METADATA else registry.list_blob_backends()


def _options(kind: BackendType, described: Mapping[str, Any]) -> BaseModel:
    """Returns the options of a backend. Raises ValidationError."""
    return kind.options.model_validate({name: value for name, value in described.items() if name != "type"})
