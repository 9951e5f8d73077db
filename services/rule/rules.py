"""Rules and their revisions, and where they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from sutler.context import Principal
from sutler.errors import AlreadyExists
from sutler.etags import make_etag
from sutler.idempotency import Once

from services.rule.definitions import Definition


class RevisionState(IntEnum):
    """Whether a revision is in use, by the numbers of the contract."""

    ACTIVE = 1
    STAGED = 2
    RETIRED = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Times are epoch seconds.

    Attributes:
        name: ``rules/{rule}``.
        tenant: Whose it is.
        uid: Tells it from an earlier one of the same name.
        definition: What its active revision says; what the latest says if none is active.
        display_name: A title for people.
        description: What it is for.
        enabled: Whether events fire it.
        version: Counts the changes.
        create_time: When it was created.
        update_time: When it last changed.
        active: The number of the active revision; 0 if none is.
        latest: The number of the newest revision.
        principal: The subject of the principal that wrote or activated the active revision.
    """

    name: str
    tenant: str
    uid: str
    definition: Definition
    display_name: str = ""
    description: str = ""
    enabled: bool = True
    version: int = 1
    create_time: float = 0.0
    update_time: float = 0.0
    active: int = 0
    latest: int = 0
    principal: str = ""

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return make_etag(self.uid, self.version)


@dataclass(frozen=True, slots=True)
class Revision:
    """What a rule was from one change to the next. Times are epoch seconds.

    Attributes:
        name: ``rules/{rule}/revisions/{revision}``.
        number: Counted from 1.
        uid: Tells it from all others.
        rule: The name of the rule.
        rule_uid: The uid of the rule.
        tenant: Whose it is.
        create_time: When it was written.
        update_time: When its state last changed.
        state: Whether it is in use.
        principal: The subject of the principal in whose name it acts.
        definition: What it says.
        display_name: The rule's title when it was written.
        description: What the rule was for when it was written.
    """

    name: str
    number: int
    uid: str
    rule: str
    rule_uid: str
    tenant: str
    create_time: float
    update_time: float
    state: RevisionState
    principal: str
    definition: Definition
    display_name: str = ""
    description: str = ""

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return make_etag(self.uid, int(self.state), self.update_time)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller wants a rule to be.

    Attributes:
        definition: What it says.
        display_name: A title for people.
        description: What it is for.
        enabled: Whether events fire it.
    """

    definition: Definition
    display_name: str = ""
    description: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Writing:
    """How a rule is to be stored.

    Attributes:
        rule: As it shall be; its version is that of the stored one.
        revised: What a new revision says; None if none is made.
        author: Who writes it, as :func:`sutler.auth.encode_principal` tells it; empty if no revision is made.
    """

    rule: Rule
    revised: Definition | None = None
    author: str = ""


class RuleStore(Protocol):
    """Where rules are stored."""

    async def get(self, tenant: str, name: str) -> Rule:
        """Returns a rule. Raises NotFound."""
        ...

    async def revision(self, tenant: str, name: str) -> Revision:
        """Returns a revision. Raises NotFound."""
        ...

    async def create(self, writing: Writing, once: Once | None) -> Rule:
        """Stores a new rule. Raises AlreadyExists."""
        ...

    async def update(self, writing: Writing, once: Once | None) -> Rule:
        """Stores a changed rule. Raises Conflict (ETAG_MISMATCH) if its version is not the stored one."""
        ...

    async def activate(self, revision: Revision, author: Principal, etag: str, once: Once | None) -> Rule:
        """Makes a revision the active one. Raises NotFound, and Conflict (ETAG_MISMATCH)."""
        ...

    async def delete(self, tenant: str, name: str, etag: str, once: Once | None, *, force: bool) -> None:
        """Deletes a rule. Raises NotFound, and Conflict (ETAG_MISMATCH)."""
        ...

    async def deleted_already(self, once: Once | None) -> None:
        """Remembers the answer to a deletion of a rule that does not exist."""
        ...


def taken(name: str) -> AlreadyExists:
    """Returns the error for a name that a rule has already."""
    return AlreadyExists(f"{name} exists already; choose another id, or update it", resource=name)
