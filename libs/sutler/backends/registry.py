"""Which types of backends there are: those that come with the service, and those that others bring.

A package brings one by an entry point, whose name is that of the type::

    [project.entry-points."sutler.cache.metadata_backends"]
    notes = "my_package:register"

    def register(registry: Registry) -> None:
        registry.register_metadata_backend(
            "notes", NotesStore, options=NotesOptions, description="Notes in a drawer", capabilities=[DURABLE]
        )

The composition root makes one registry and loads the entry points; nothing is registered by being imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel

from sutler.backends.ordered import OrderedStore
from sutler.backends.stored_bytes import ByteStore

METADATA_GROUP = "sutler.cache.metadata_backends"
BLOB_GROUP = "sutler.cache.blob_backends"
"""The groups of entry points."""

NAME = re.compile("[a-z][a-z0-9_-]{0,62}")

O = TypeVar("O", bound=BaseModel)  # noqa: E741
Options: TypeAlias = type[BaseModel]


class BackendKind(IntEnum):
    """What a backend keeps, by the contract's numbers."""

    METADATA = 1
    BLOB = 2


class Capability(IntEnum):
    """What a backend can do, by the contract's numbers."""

    DURABLE = 1
    SHARED = 2
    NOTIFICATIONS = 3
    FILTERS = 4
    RANGES = 5


class NoOptions(BaseModel, extra="forbid"):
    """The options of a backend that takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendType:
    """A kind of place that a server knows.

    Attributes:
        kind: What it keeps.
        type: Its name, such as ``sqlite``.
        description: What it is, for people.
        capabilities: What it can do.
        options: What an operator can set.
        factory: Makes one from its options; it connects with its first call.
        required_packages: What must be installed for it.
        max_entries: The most entries that a cache on it may have; without bound if 0.
        builtin: Whether it comes with the service.
        failure: Why it cannot be used at all; empty if it can.
    """

    kind: BackendKind
    type: str
    description: str
    capabilities: tuple[Capability, ...]
    options: Options = NoOptions
    factory: Callable[[Any], Any]
    required_packages: tuple[str, ...] = ()
    max_entries: int = 0
    builtin: bool = False
    failure: str = ""

    @property
    def missing(self) -> str:
        """Why it cannot be used here; empty if it can."""
        if self.failure:
            return self.failure
        absent = [name for name in self.required_packages if not _is_installed(name)]
        return f"not installed: {', '.join(absent)}" if absent else ""


class Registry:
    """The types of backends that a server knows."""

    def __init__(self) -> None:
        self._types: dict[tuple[BackendKind, str], BackendType] = {}

    def register_metadata_backend(
        self,
        name: str,
        factory: Callable[[O], OrderedStore],
        *,
        description: str,
        options: type[O],
        capabilities: Sequence[Capability] = (),
        required_packages: Sequence[str] = (),
        max_entries: int = 0,
    ) -> None:
        """Makes a type of metadata backend known.

        Args:
            name: Its name: small letters, digits, ``-`` and ``_``.
            factory: Makes the store of its options. It connects with its first call, and imports there what may not
                be installed.
            description: What it is, for people.
            options: What an operator can set; secrets as SecretStr.
            capabilities: What it can do.
            required_packages: The packages that it needs.
            max_entries: The most entries that a cache on it may have; without bound if 0.

        Raises:
            ValueError: If the name is taken, or is none.
        """
        self.add(
            BackendType(
                kind=BackendKind.METADATA,
                type=name,
                description=description,
                capabilities=tuple(capabilities),
                options=options,
                factory=factory,
                required_packages=tuple(required_packages),
                max_entries=max_entries,
            )
        )

    def register_blob_backend(
        self,
        name: str,
        factory: Callable[[O], ByteStore],
        *,
        description: str,
        options: type[O],
        capabilities: Sequence[Capability] = (),
        required_packages: Sequence[str] = (),
    ) -> None:
        """Makes a type of blob backend known. See :meth:`register_metadata_backend`."""
        self.add(
            BackendType(
                kind=BackendKind.BLOB,
                type=name,
                description=description,
                capabilities=tuple(capabilities),
                options=options,
                factory=factory,
                required_packages=tuple(required_packages),
            )
        )

    def unregister_metadata_backend(self, name: str) -> bool:
        """Forgets a type; returns whether it was known."""
        return self._types.pop((BackendKind.METADATA, name), None) is not None

    def unregister_blob_backend(self, name: str) -> bool:
        """Forgets a type; returns whether it was known."""
        return self._types.pop((BackendKind.BLOB, name), None) is not None

    def list_metadata_backends(self) -> list[BackendType]:
        """Returns all types of metadata backends."""
        return [known for known in self.all_types() if known.kind is BackendKind.METADATA]

    def list_blob_backends(self) -> list[BackendType]:
        """Returns all types of blob backends."""
        return [known for known in self.all_types() if known.kind is BackendKind.BLOB]

    def all_types(self) -> list[BackendType]:
        """Returns all types."""
        return list(self._types.values())

    def find(self, kind: BackendKind, name: str) -> BackendType | None:
        """Returns a type; None if it is not known."""
        return self._types.get((kind, name))

    def add(self, known: BackendType) -> None:
        """Makes a type known.

        Raises:
            ValueError: If its name is taken, or is none.
        """
        if not NAME.fullmatch(known.type):
            raise ValueError(f"{known.type!r} is no name of a backend type: use small letters, digits, - and _")
        if (known.kind, known.type) in self._types:
            raise ValueError(f"there is a backend type {known.type!r} already: unregister it, or use another name")
        self._types[known.kind, known.type] = known

    def load_entry_points(self) -> None:
        """Makes known what installed packages bring. One that cannot be loaded is known, with the reason."""
        for kind, group in ((BackendKind.METADATA, METADATA_GROUP), (BackendKind.BLOB, BLOB_GROUP)):
            for point in sorted(entry_points(group=group), key=lambda point: point.name):
                try:
                    point.load()(self)
                except Exception as error:
                    self._types.setdefault(
                        (kind, point.name),
                        BackendType(
                            kind=kind,
                            type=point.name,
                            description=f"Brought by {point.value}",
                            capabilities=(),
                            factory=lambda options: None,
                            failure=f"{point.value} cannot be loaded: {error}",
                        ),
                    )


def _is_installed(package: str) -> bool:
    try:
        version(re.split(r"[\s\[<>=!~;]", package, maxsplit=1)[0])
    except PackageNotFoundError:
        return False
    return True
