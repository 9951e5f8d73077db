"""What a declared machine set wishes for, who calls for it, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pydantic
from sutler.errors import Violation, invalid_fields
from sutler.validation import from_pydantic

from services.provider.machines import Machine

TYPE = "Sutler.Compute/machineSets"
MAX_COUNT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSet:
    """What is known of a set beside its machines.

    Attributes:
        tenant: Whose it is.
        resource: The name of the declared resource.
        fence: The highest fencing token that called for it.
        attempt: The attempt of that caller that called last.
        key: The idempotency key of the last call that changed something.
        rounds: How often that call has asked for machines, or given some back.
        update_time: When this last changed, seconds since 1970.
    """

    tenant: str
    resource: str
    fence: int = 0
    attempt: int = 0
    key: str = ""
    rounds: int = 0
    update_time: float = 0.0


class Wish(pydantic.BaseModel):
    """The properties of a machine set.

    Attributes:
        template: The name of the template.
        count: How many machines.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    template: str = pydantic.Field(pattern=r"^templates/[A-Za-z][A-Za-z0-9._-]{0,62}$")
    count: int = pydantic.Field(default=1, ge=0, le=MAX_COUNT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls for a set.

    Attributes:
        tenant: The tenant of the resource.
        resource: The name of the resource.
        fence: The fencing token.
        attempt: Which attempt it is.
        key: The idempotency key.
        timeout: Seconds that are left for the whole.
        creator: On whose behalf.
        correlation_id: Ties log lines, traces and errors together.
    """

    tenant: str
    resource: str
    fence: int
    attempt: int
    key: str
    timeout: float = 3600.0
    creator: str = ""
    correlation_id: str = ""


MayEnd = Callable[[Sequence[str]], None]
"""Raises PermissionDenied if the caller may not end machines of these names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a set stands.

    Attributes:
        machines: Its machines that have not ended and are not being returned.
        waits: The names of the requests that are under way for it.
        busy: Whether something is under way for it.
        whole: Whether all is as wished.
    """

    machines: tuple[Machine, ...]
    waits: tuple[str, ...]
    busy: bool
    whole: bool


def read_wish(properties: Mapping[str, Any]) -> Wish:
    """Returns what the properties of a resource wish for.

    Raises:
        Invalid: If they are not those of a machine set.
    """
    wish, violations = try_wish(properties)
    if wish is None:
        raise invalid_fields(violations)
    return wish


def try_wish(properties: Mapping[str, Any]) -> tuple[Wish | None, Sequence[Violation]]:
    """Returns what the properties wish for, or what is wrong with them."""
    try:
        return Wish.model_validate(dict(properties)), ()
    except pydantic.ValidationError as error:
        return None, from_pydantic(error, ["properties"])


class Change(IntEnum):
    """What is proposed for a set; the numbers of the handler's contract."""

    CREATE = 1
    UPDATE = 2
    DELETE = 3
    INVOKE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change of a set that is to be checked.

    Attributes:
        tenant: Whose it is.
        resource: The name of the resource.
        change: What is proposed.
        properties: What would be wished for.
    """

    tenant: str
    resource: str
    change: Change
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check found.

    Attributes:
        violations: What is wrong.
        starts: How many machines would be started.
        ends: How many would be ended.
        template: The template of those that would be started.
    """

    violations: Sequence[Violation] = ()
    starts: int = 0
    ends: int = 0
    template: str = ""


class Presence(IntEnum):
    """How much of a wish is there; the numbers of the handler's contract."""

    ABSENT = 1
    PARTIAL = 2
    WHOLE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is really there of a set.

    Attributes:
        presence: How much of the wish.
        outputs: The outputs as they are now.
        description: What was found, for people.
    """

    presence: Presence
    outputs: Mapping[str, Any]
    description: str
