"""What a resource is: what somebody declared, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any

import orjson
from sutler.etags import make_etag

from services.resource import paths
from services.resource.problems import Problem
from services.resource.secrets import Path, without
from services.resource.states import State


class Lock(IntEnum):
    """What must not be done with a resource, by the numbers of ``sutler.resource.v1.Resource.Lock``."""

    UNSPECIFIED = 0
    NONE = 1
    CAN_NOT_DELETE = 2
    READ_ONLY = 3


@dataclass(frozen=True, slots=True)
class Declared:
    """What somebody wishes: the fields that a caller can write.

    Attributes:
        type_version: The version of the type under which it was written.
        display_name: What people call it.
        properties: What is wished, as JSON data.
        tags: Labels of the caller's own.
        location: The name of a location; empty if it has none.
        references: The names of other resources that it needs.
        expire_time: When it is to be deleted, in seconds since 1970; None for never.
        lock: What must not be done with it and all below it.
        secrets: The paths in the properties to what only handlers may see.
    """

    type_version: str = ""
    display_name: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    location: str = ""
    references: tuple[str, ...] = ()
    expire_time: float | None = None
    lock: Lock = Lock.UNSPECIFIED
    secrets: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes of JSON it is."""
        return len(orjson.dumps(self.properties))

    @property
    def public(self) -> Declared:
        """What everybody may see of it."""
        return replace(self, properties=without(self.properties, self.secrets)) if self.secrets else self

    def forgetting(self, sent: Mapping[str, Any], secrets: Sequence[Path]) -> Declared:
        """Returns it without the secrets that are sent, so that no answer tells whether they were guessed right.

        Args:
            sent: The properties that are sent.
            secrets: Where secrets stand in them.
        """
        guessed = [path for path in secrets if paths.values(sent, path)]
        return replace(self, properties=without(self.properties, guessed)) if guessed else self


@lru_cache(maxsize=1024)
def _etag(uid: str, revision: int) -> str:
    return make_etag(uid, revision)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that stops nothing and is worth knowing.

    Attributes:
        source: The policy, or the resource type whose handler said it.
        rule: The policy's rule; empty if a handler said it.
        field: The path that it concerns.
        message: What it is.
    """

    source: str
    rule: str
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A declared thing.

    Attributes:
        tenant: Whose it is.
        name: The full path, in the case of its creation.
        uid: Tells it from an earlier one of the same name.
        type: Its type, in the case of the type's registration.
        declared: What is wished.
        outputs: What the handler told about the real thing.
        state: Where it stands; written by :mod:`services.resource.lifecycle` only.
        state_reason: The reason of the last failure or cancellation.
        error: The error of the last operation while FAILED or CANCELED.
        operation: The operation that works on it now; empty if none does.
        generation: Counts changes of what is wished, from 1.
        observed_generation: The generation that was completed last; 0 if none yet.
        revision: The number of its last change in the tenant's log; 0 before it is stored.
        creator: Who created it.
        updater: Who changed it last.
        create_time: Seconds since 1970.
        update_time: Seconds since 1970.
        findings: What policies and handlers had to say about the last change.
        applied: What was declared when it last succeeded, if that differs from what is declared now.
        stack: The stack that it belongs to; empty if it belongs to none.
        sealed: Its secrets, still encrypted: what was declared is without them. None if it has none, or they are open.
    """

    tenant: str
    name: str
    uid: str
    type: str
    declared: Declared
    outputs: Mapping[str, Any] = field(default_factory=dict)
    state: State = State.ACCEPTED
    state_reason: str = ""
    error: Problem | None = None
    operation: str = ""
    generation: int = 1
    observed_generation: int = 0
    revision: int = 0
    creator: str = ""
    updater: str = ""
    create_time: float = 0.0
    update_time: float = 0.0
    findings: tuple[Finding, ...] = ()
    applied: Declared | None = None
    stack: str = ""
    sealed: bytes | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """About how many bytes of JSON it is."""
        return self.declared.size + len(orjson.dumps(self.outputs))

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return _etag(self.uid, self.revision)

    @property
    def previous(self) -> Declared | None:
        """What was declared when it last succeeded; None if it never did."""
        if not self.observed_generation:
            return None
        return self.applied or self.declared


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action led to: what the handler gave back, and the resource after it."""

    result: Mapping[str, Any]
    resource: Resource
