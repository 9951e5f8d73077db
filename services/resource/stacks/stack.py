"""What a stack is: what somebody declared, and what became of each member."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from sutler.etags import make_etag

from services.resource.names import key
from services.resource.problems import Problem
from services.resource.resource import Lock
from services.resource.secrets import Path, touches, without
from services.resource.stacks.merging import Applied
from services.resource.stacks.references import references


class StackState(IntEnum):
    """The life of a stack, by the numbers of ``sutler.resource.v1.Stack.State``."""

    ACCEPTED = 1
    APPLYING = 2
    SUCCEEDED = 3
    UNDOING = 4
    FAILED = 5
    CANCELED = 6
    DELETING = 7


class FailurePolicy(IntEnum):
    """What is done if a member fails, by the numbers of ``sutler.resource.v1.Stack.FailurePolicy``."""

    UNSPECIFIED = 0
    UNDO = 1
    KEEP = 2


class Action(IntEnum):
    """What a run does with a member, by the numbers of ``sutler.type.v1.PlannedStep.Action``."""

    CREATE = 1
    UPDATE = 2
    DELETE = 3
    KEEP = 4


class Became(IntEnum):
    """What became of a member, by the numbers of ``sutler.resource.v1.StackMemberState.State``.

    GONE is never stored: whoever reads a stack works it out of what there is.
    """

    WAITING = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    SKIPPED = 5
    UNDONE = 6
    DELETED = 7
    GONE = 8


@dataclass(frozen=True, slots=True)
class Member:
    """One resource of a stack as it was declared; its strings may hold references.

    Attributes:
        id: Its name within the stack.
        type: The type of the resource.
        type_version: The version of the type; the type's default version if empty.
        resource_id: The last part of the resource's name; ``id`` if empty.
        parent: The scope or resource above; the stack's scope if empty.
        display_name: What people call it.
        properties: The properties of the resource.
        tags: The tags of the resource.
        location: Where it is.
        lock: What must not be done with it.
        dependencies: The ids of members that must be there first although no reference says so.
        keep: Whether the resource stays when it leaves the stack.
        references: The names of other resources that it needs.
        expire_time: When the resource is to be deleted, in seconds since 1970; None for never.
        secrets: The paths in the properties to what only handlers may see.
    """

    id: str
    type: str
    type_version: str = ""
    resource_id: str = ""
    parent: str = ""
    display_name: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    location: str = ""
    lock: Lock = Lock.UNSPECIFIED
    dependencies: tuple[str, ...] = ()
    keep: bool = False
    references: tuple[str, ...] = ()
    expire_time: float | None = None
    secrets: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """What somebody wishes a stack to be: the fields that a caller can write.

    Attributes:
        display_name: What people call it.
        scope: Where members stand that name no parent; empty for the root.
        members: The members, in any order.
        parameters: Values that members use.
        failure_policy: What is done if a member fails.
        output_values: What the stack gives as its result, with references.
    """

    display_name: str = ""
    scope: str = ""
    members: tuple[Member, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    failure_policy: FailurePolicy = FailurePolicy.UNSPECIFIED
    output_values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def public(self) -> Template:
        """What everybody may see of it: no secrets, and no parameters that become one."""
        if not any(member.secrets for member in self.members):
            return self
        hidden = self.hidden
        members = (replace(member, properties=without(member.properties, member.secrets)) for member in self.members)
        shown = {name: value for name, value in self.parameters.items() if name not in hidden}
        return replace(self, members=tuple(members), parameters=shown)

    @property
    def hidden(self) -> frozenset[str]:
        """The names of the parameters of which something becomes, or may become, a secret of a member."""
        found: set[str] = set()
        for member in self.members:
            for steps, text in _texts(member.properties, ()) if member.secrets else ():
                if touches(steps, member.secrets):
                    used = [reference for _, reference in references(text, "properties") if not reference.member]
                    found.update(*(reference.path[:1] or self.parameters for reference in used))
        return frozenset(found)


def _texts(value: Any, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields the strings of a value, each with the way to it."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*at, str(index)))


@dataclass(frozen=True, slots=True)
class MemberState:
    """What a stack knows of one resource that is, was or shall be a member.

    Attributes:
        member: The id of the member.
        resource: The name of the resource.
        action: What the run does or did with it.
        became: What became of it.
        error: Why it failed.
        operation: The operation of the resource.
        uid: The uid of the resource while it belongs to the stack; empty before it does, and when it is gone.
        left: Whether the member is no longer declared.
        keep: Whether the resource stays when it leaves the stack.
        needs: The keys of the resources that must be there first.
        applied: What the stack has set in it so far; None if nothing yet.
        created: Whether the present run created it.
        stuck: Whether undoing it has failed.
        begun: When its turn came, in seconds since 1970; 0 before.
        due: When it is tried again, in seconds since 1970; 0 for at once.
        tries: How often it could not begin.
    """

    member: str
    resource: str
    action: Action
    became: Became = Became.WAITING
    error: Problem | None = None
    operation: str = ""
    uid: str = ""
    left: bool = False
    keep: bool = False
    needs: tuple[str, ...] = ()
    applied: Applied | None = None
    created: bool = False
    stuck: bool = False
    begun: float = 0.0
    due: float = 0.0
    tries: int = 0

    @property
    def key(self) -> str:
        """What names of resources are compared by."""
        return key(self.resource)


@dataclass(frozen=True, slots=True)
class Stack:
    """A group of resources.

    Attributes:
        tenant: Whose it is.
        name: ``stacks/{stack}``, in the case of its creation.
        uid: Tells it from an earlier one of the same name.
        template: What is wished.
        member_states: What became of each member, those that left last.
        outputs: What it gave as its result when it last succeeded.
        state: Where it stands in its life.
        error: Why the last run failed; already known while it is being undone.
        operation: The operation that works on it now; empty if none does.
        creator: Who created it.
        updater: Who applied it last.
        create_time: Seconds since 1970.
        update_time: Seconds since 1970.
        revision: Counts its changes, from 1; those of members do not count.
        sealed: Its secrets, still encrypted: the template is without them. None if it has none, or they are open.
    """

    tenant: str
    name: str
    uid: str
    template: Template
    member_states: tuple[MemberState, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    state: StackState = StackState.ACCEPTED
    error: Problem | None = None
    operation: str = ""
    creator: str = ""
    updater: str = ""
    create_time: float = 0.0
    update_time: float = 0.0
    revision: int = 0
    sealed: bytes | None = field(default=None, repr=False)

    @property
    def etag(self) -> str:
        """Changes with every change of the stack itself."""
        return make_etag(self.uid, self.revision)

    @property
    def undoes(self) -> bool:
        """Whether a run that fails takes back what it created."""
        return self.template.failure_policy is not FailurePolicy.KEEP


def lifts(states: Iterable[MemberState]) -> dict[str, Lock]:
    """Returns the locks that runs of a stack may pass, as the stack has set them, by the uids of their resources."""
    return {state.uid: state.applied.lock for state in states if state.applied and state.applied.lock > Lock.NONE}
