"""What is known of a subject, and how it is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.struct_pb2 import Value

from sutler.client.rules.readings import Reading
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import from_value

Plain = dict[str, Any]
Values = dict[str, Value]

Read = Callable[[str], Awaitable[pb.Subject | None]]
"""Reads a subject by its name; gives None if there is none."""

REQUIRED = object()
"""Stands for no default."""


class Facts:
    """Properties and ext properties; read when they are first asked for. To read changes nothing.

    Args:
        name: The resource name of the subject.
        read: Reads it.

    Attributes:
        name: The resource name of the subject.
        known: Whether it was read.
        revision: The revision that was read; 0 if there is none.
    """

    def __init__(self, name: str, read: Read) -> None:
        self.name = name
        self._read = read
        self.known = False
        self.revision = 0
        self._properties: Values = {}
        self._ext: Values = {}

    def get(self, property: str, default: Any = REQUIRED) -> Reading[Any]:
        """Returns the value of a property.

        Raises:
            KeyError: If there is none and no default is given.
        """
        return Reading(lambda: self._get(property, default, ext=False))

    def get_ext(self, property: str, default: Any = REQUIRED) -> Reading[Any]:
        """Returns the value of an ext property. Raises as :meth:`get`."""
        return Reading(lambda: self._get(property, default, ext=True))

    def has(self, property: str) -> Reading[bool]:
        """Returns whether there is a property; null is a value."""
        return Reading(lambda: self._has(property, ext=False))

    def has_ext(self, property: str) -> Reading[bool]:
        """Returns whether there is an ext property."""
        return Reading(lambda: self._has(property, ext=True))

    def dict(self) -> Reading[Plain]:
        """Returns all properties."""
        return Reading(lambda: self._all(ext=False))

    def get_ext_props(self) -> Reading[Plain]:
        """Returns all ext properties."""
        return Reading(lambda: self._all(ext=True))

    async def keys(self) -> list[str]:
        """Returns the names of the properties."""
        return list(await self.dict())

    async def reload(self) -> None:
        """Reads the subject anew, beneath what was written and is not committed yet."""
        self.learn(await self._read(self.name))

    def learn(self, subject: pb.Subject | None) -> None:
        """Takes over what was read; None if there is no such subject."""
        self._properties = dict(subject.properties.fields) if subject else {}
        self._ext = dict(subject.ext_properties.fields) if subject else {}
        self.revision = subject.revision if subject else 0
        self.known = True

    def apply(self, write: pb.PropertyWrite) -> None:
        """Shows a change as if it were made."""
        facts = self._ext if write.ext else self._properties
        kind = write.WhichOneof("write")
        if kind == "value":
            facts[write.property] = write.value
        elif kind == "deleted":
            facts.pop(write.property, None)
        else:
            old = facts[write.property].number_value if write.property in facts else 0.0
            facts[write.property] = Value(number_value=old + write.increment)

    def kept(self) -> Callable[[], None]:
        """Returns what brings back what is known now."""
        facts = (dict(self._properties), dict(self._ext), self.known, self.revision)

        def restore() -> None:
            self._properties, self._ext, self.known, self.revision = facts

        return restore

    async def _facts(self, *, ext: bool) -> Values:
        if not self.known:
            await self.reload()
        return self._ext if ext else self._properties

    async def _get(self, property: str, default: Any, *, ext: bool) -> Any:
        found = (await self._facts(ext=ext)).get(property)
        if found is not None:
            return from_value(found)
        if default is REQUIRED:
            raise KeyError(f"{self.name} has no property {property}")
        return default

    async def _has(self, property: str, *, ext: bool) -> bool:
        return property in await self._facts(ext=ext)

    async def _all(self, *, ext: bool) -> Plain:
        return {key: from_value(value) for key, value in (await self._facts(ext=ext)).items()}
