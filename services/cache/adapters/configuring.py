"""Backends as an operator configured them: what is wrong with that, and how they are opened."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from sutler.backends import BackendKind, BackendType, ByteStore, Capability, OrderedStore, Registry
from sutler.store import open_database
from sutler.store.requests import StoredAnswers
from sutler.store.retention import Sweeper

from services.cache.adapters.answers import Finder
from services.cache.adapters.database import MIGRATIONS, DatabaseEntries
from services.cache.adapters.database.elsewhere import CopiedCaches
from services.cache.adapters.database.places import DatabaseUrl
from services.cache.adapters.elsewhere import Elsewhere
from services.cache.adapters.objects import ObjectBlobs
from services.cache.adapters.ordered import OrderedEntries
from services.cache.backends import Configured
from services.cache.ports import BlobBackend, Catalogue, MetadataBackend

Settings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A metadata backend that is open.

    Attributes:
        configured: The backend.
        answers: Where the first answers to requests are that it remembers.
        work: What goes on for it behind the calls, if anything does.
    """

    configured: Configured[MetadataBackend]
    answers: Finder
    work: Callable[[], Coroutine[Any, Any, None]] | None = None


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
        if workers > 1 and not {Capability.DURABLE, Capability.SHARED}.intersection(found.capabilities):
            yield f"[{name}]: {found.type} is in the memory of one process, so workers must be 1"
        try:
            _options(found, described)
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False, include_context=False):
                where = "".join(f"[{part}]" for part in problem["loc"])
                yield f"[{name}]{where}: {problem['msg'].removeprefix('Value error, ')}"


async def open_metadata(
    stack: AsyncExitStack, registry: Registry, given: Settings, catalogue: Catalogue, keep: timedelta, grace: float
) -> list[Opened]:
    """Opens metadata backends; they are closed with the stack."""
    opened = []
    for name, described in given.items():
        kind = registry.find(BackendKind.METADATA, described["type"])
        assert kind is not None
        made = kind.factory(_options(kind, described))
        if isinstance(made, DatabaseUrl):
            database = await stack.enter_async_context(open_database(made, name="cache", migrations=MIGRATIONS))
            stored = Elsewhere(DatabaseEntries(database, keep, grace), catalogue, CopiedCaches(database))
            work = Sweeper(database, []).run
            opened.append(Opened(Configured(name, kind, stored), StoredAnswers(database), work))
            continue
        assert isinstance(made, OrderedStore)
        stack.push_async_callback(made.close)
        entries = OrderedEntries(made, keep, grace)
        elsewhere = Elsewhere(entries, catalogue)
        opened.append(Opened(Configured(name, kind, elsewhere, made.durable), entries.answers))
    return opened


async def open_blobs(stack: AsyncExitStack, registry: Registry, given: Settings) -> list[Configured[BlobBackend]]:
    """Opens blob backends; they are closed with the stack."""
    opened: list[Configured[BlobBackend]] = []
    for name, described in given.items():
        kind = registry.find(BackendKind.BLOB, described["type"])
        assert kind is not None
        made = kind.factory(_options(kind, described))
        assert isinstance(made, ByteStore)
        stack.push_async_callback(made.close)
        opened.append(Configured(name, kind, ObjectBlobs(made)))
    return opened


def _all(registry: Registry, kind: BackendKind) -> list[BackendType]:
    return registry.list_metadata_backends() if kind is BackendKind.METADATA else registry.list_blob_backends()


def _options(kind: BackendType, described: Mapping[str, Any]) -> BaseModel:
    """Returns the options of a backend. Raises ValidationError."""
    return kind.options.model_validate({name: value for name, value in described.items() if name != "type"})
