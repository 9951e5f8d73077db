from __future__ import annotations

import pytest
from pydantic import BaseModel, SecretStr
from sutler.backends import BackendKind, Capability, Registry
from sutler.backends.memory import MemoryStore

from services.cache.adapters import registry
from services.cache.backends import incompatible


class Options(BaseModel, extra="forbid"):
    path: str
    secret: SecretStr = SecretStr("")


def register(known: Registry, name: str = "notes", **more: object) -> None:
    given = {"description": "Notes", "options": Options, **more}
    known.register_metadata_backend(name, lambda options: MemoryStore(), **given)  # type: ignore[arg-type]


def test_what_is_registered_is_there_at_once_and_can_go() -> None:
    known = Registry()
    register(known, max_entries=7)
    [found] = known.list_metadata_backends()
    assert (found.type, found.max_entries, found.builtin, found.missing) == ("notes", 7, False, "")
    assert known.find(BackendKind.METADATA, "notes") is found
    assert known.find(BackendKind.BLOB, "notes") is None and known.list_blob_backends() == []
    assert not known.unregister_blob_backend("notes")
    assert known.unregister_metadata_backend("notes") and not known.unregister_metadata_backend("notes")
    assert known.find(BackendKind.METADATA, "notes") is None


@pytest.mark.parametrize("name", ["sqlite", "", "With space", "../x", "x" * 64])
def test_names_that_are_taken_or_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError):
        register(registry(), name)


def test_a_type_whose_package_is_missing_says_so() -> None:
    known = Registry()
    register(known, required_packages=["pydantic>=2", "no-such-package[extra]>=1"])
    assert known.list_metadata_backends()[0].missing == "not installed: no-such-package[extra]>=1"


@pytest.mark.parametrize(
    ("metadata", "blobs", "cause"),
    [
        ("sqlite", "filesystem", ""),
        ("postgresql", "filesystem", ""),
        ("redis", "filesystem", ""),
        ("sqlite_memory", "filesystem", ""),
        ("sqlite_memory", "memory", ""),
        ("postgresql", "s3", ""),
        ("redis", "s3", ""),
        ("sqlite", "s3", ""),
        ("sqlite_memory", "s3", ""),
        ("json", "s3", ""),
        ("redis", "memory", "only one is shared"),
        ("sqlite", "memory", "only one is durable"),
    ],
)
def test_what_goes_together(metadata: str, blobs: str, cause: str) -> None:
    known = registry()
    mine, others = known.find(BackendKind.METADATA, metadata), known.find(BackendKind.BLOB, blobs)
    assert mine is not None and others is not None
    assert incompatible(mine, others) == cause


def test_every_type_that_comes_with_the_service_can_be_used_here() -> None:
    for found in registry().all_types():
        assert not found.builtin or not found.missing
        assert found.description and len(found.description) <= 1024
        assert all(isinstance(each, Capability) for each in found.capabilities)
