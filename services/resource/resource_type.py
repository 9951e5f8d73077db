"""What a resource type is: versions of a schema with rules, scopes, and who makes its resources real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from sutler.errors import FailedPrecondition
from sutler.etags import make_etag

from services.resource.names import key, type_id
from services.resource.scopes import Scope

Json = Mapping[str, Any]


class Kind(IntEnum):
    """The normalizations, by the numbers of ``sutler.resource.v1.Normalization.Kind``."""

    TRIM = 1
    LOWER_CASE = 2
    UPPER_CASE = 3
    COLLAPSE_SPACE = 4


@dataclass(frozen=True, slots=True)
class Normalization:
    """A change of a value before it is checked: the path of the value, and what is done to it."""

    field: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL expression that is true where the rule is kept.

    Attributes:
        id: Its name within the version.
        expression: Over ``self``, ``old_self`` and ``parent``.
        message: What is wrong where it is broken.
        field: The path that a violation names; empty for the whole resource.
    """

    id: str
    expression: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the schema and rules of a type.

    Attributes:
        version: Its name within the type.
        schema: The JSON Schema of properties; None for any object.
        output_schema: The JSON Schema of outputs; None for any object.
        rules: What every resource must keep.
        normalizations: What is done to values first, in order.
        immutable_fields: Paths that cannot change after creation.
        retired: Whether nothing new can be written under it.
    """

    version: str
    schema: Json | None = None
    output_schema: Json | None = None
    rules: tuple[Rule, ...] = ()
    normalizations: tuple[Normalization, ...] = ()
    immutable_fields: tuple[str, ...] = ()
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Handler:
    """Who makes resources of a type real, and with how much patience. What is None or 0 has the contract's default.

    Attributes:
        plugin: The name of a plug-in; empty if it is none.
        address: The gRPC target of a ResourceHandler; empty if it is none. Both empty: resources are only recorded.
        timeout: Seconds for an operation in all.
        idle_timeout: Seconds that a call may send nothing.
        max_attempts: How often to try; until the timeout if 0.
        min_backoff: Seconds of the first pause.
        max_backoff: Seconds of the longest pause.
        max_concurrency: How many calls may be open at once.
    """

    plugin: str = ""
    address: str = ""
    timeout: float | None = None
    idle_timeout: float | None = None
    max_attempts: int = 0
    min_backoff: float | None = None
    max_backoff: float | None = None
    max_concurrency: int = 0

    @property
    def records(self) -> bool:
        """Whether declaring is all there is."""
        return not self.plugin and not self.address


RECORD = Handler()
"""The handler of types that name none."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a handler can do with a resource besides making it."""

    id: str
    description: str = ""
    parameter_schema: Json | None = None
    result_schema: Json | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What a handler says of itself: the schemas of properties and outputs, None for any object, and its actions."""

    schema: Json | None = None
    output_schema: Json | None = None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of resource.

    Attributes:
        tenant: Whose it is; empty for the built-in ones, which are everybody's.
        type: The type as resources name it.
        uid: Tells it from an earlier one of the same name.
        display_name: What people call it.
        description: What it is for.
        versions: At least one.
        default_version: The version of resources that name none; the last one if empty.
        uniqueness_scopes: What together forms the key that may exist once.
        allowed_scopes: Where resources may be declared; everywhere if empty.
        handler: Who makes resources real; only recorded if None.
        actions: What else the handler can do.
        builtin: Whether it comes with the service.
        creator: Who registered it.
        updater: Who changed it last.
        principal: That principal with its grants, as :func:`sutler.auth.encode_principal` writes it: the handler acts
            for it.
        create_time: Seconds since 1970.
        update_time: Seconds since 1970.
        revision: Counts its changes, from 1.
        digest: Of all that is stored of it; empty if it was not read from the store.
    """

    tenant: str
    type: str
    uid: str = ""
    display_name: str = ""
    description: str = ""
    versions: tuple[Version, ...] = field(default=())
    default_version: str = ""
    uniqueness_scopes: tuple[Scope, ...] = ()
    allowed_scopes: tuple[Scope, ...] = ()
    handler: Handler | None = None
    actions: tuple[Action, ...] = ()
    builtin: bool = False
    creator: str = ""
    updater: str = ""
    principal: str = ""
    create_time: float = 0.0
    update_time: float = 0.0
    revision: int = 1
    digest: bytes = field(default=b"", compare=False)

    @property
    def name(self) -> str:
        """The resource name."""
        return f"resourceTypes/{type_id(self.type)}"

    @property
    def key(self) -> str:
        """What types are compared by."""
        return key(self.type)

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return make_etag(self.uid, self.revision)

    @property
    def made_by(self) -> Handler:
        """Who makes resources real."""
        return self.handler or RECORD

    def find(self, version: str) -> Version:
        """Returns a version by its name; the default one for an empty name.

        Raises:
            FailedPrecondition: If there is none (TYPE_VERSION_UNAVAILABLE).
        """
        wanted = version or self.default_version or self.versions[-1].version
        for found in self.versions:
            if found.version == wanted:
                return found
        raise self.unavailable(wanted)

    def unavailable(self, version: str) -> FailedPrecondition:
        """Returns the error for a version that does not exist or is retired."""
        available = ", ".join(v.version for v in self.versions if not v.retired)
        return FailedPrecondition(
            f"{self.type} has no version {version} that can be written; available: {available or 'none'}",
            reason="TYPE_VERSION_UNAVAILABLE",
            metadata={"type": self.type, "version": version, "available": available},
        )


def unknown_type(type: str) -> FailedPrecondition:
    """Returns the error for a type that is not registered."""
    return FailedPrecondition(
        f"no type {type} is registered; create it with CreateResourceType",
        reason="TYPE_UNKNOWN",
        metadata={"type": type},
    )
