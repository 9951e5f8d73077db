"""Simulations: what an event would do, rule by rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from sutler.context import Principal

from services.rule.breakers import Breaker
from services.rule.definitions import Deed
from services.rule.events import Content, Event
from services.rule.failures import Failure
from services.rule.matching import Entry
from services.rule.programs import Program
from services.rule.rules import Rule
from services.rule.steps import Change, Condition
from services.rule.subjects import Subject

MAX_ITEMS = 1000
"""How many simulations, events and changes one answer holds at the most."""

MAX_ACTIONS = 2000
"""After how many actions no other rule is looked at."""


class Obstacle(IntEnum):
    """What stops a rule, by the numbers of the contract."""

    NONE = 0
    TYPE = 1
    SUBJECT = 2
    CONDITION = 3
    ERROR = 4
    DISABLED = 5
    BREAKER = 6
    ORDER = 7


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that may fire.

    Attributes:
        rule: The rule.
        program: The rule, compiled.
        author: The principal in whose name it acts.
        enabled: Whether events fire it.
    """

    rule: Rule
    program: Program
    author: Principal
    enabled: bool


@dataclass(frozen=True, slots=True)
class SupposedSubject:
    """A subject as if it were so.

    Attributes:
        id: Its id; that of the event's subject if empty.
        properties: Its properties.
        ext_properties: Its ext properties.
        ttl: Seconds that it lives after its last write; None for ever.
    """

    id: str
    properties: Mapping[str, Any]
    ext_properties: Mapping[str, Any]
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Supposition:
    """What is to be simulated.

    Attributes:
        content: The event.
        subject: A subject as if it were so; None if all are as they are stored.
        drafts: Rules as they might be.
        rules: The names of the only rules to look at; all if empty.
        max_depth: How deep to follow the events that would be emitted.
    """

    content: Content
    subject: SupposedSubject | None = None
    drafts: Sequence[Rule] = ()
    rules: Sequence[str] = ()
    max_depth: int = 0


@dataclass(frozen=True, slots=True)
class SimulatedAction:
    """What one action would do.

    Attributes:
        id: The action's id.
        do: What it does, with templates and expressions worked out as far as they can be.
        uncertain: Whether it needs what nobody can know before it happens.
        error: Why it would fail.
    """

    id: str
    do: Deed
    uncertain: bool = False
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class RuleSimulation:
    """What one rule would do with one event.

    Attributes:
        rule: The name of the rule.
        event_id: The CloudEvents id of the event.
        obstacle: What stops it.
        conditions: What its conditions give.
        actions: What it would do, in order, up to the first that would fail.
    """

    rule: str
    event_id: str
    obstacle: Obstacle
    conditions: Sequence[Condition] = ()
    actions: Sequence[SimulatedAction] = ()


@dataclass(slots=True)
class Simulated:
    """What an event would do.

    Attributes:
        simulations: What each rule would do, by event, then by priority.
        events: The event and those that would follow.
        changes: What would change in subjects.
        truncated: Whether something was left out.
    """

    simulations: list[RuleSimulation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """What may keep rules waiting, by the uids of the rules.

    Attributes:
        breakers: Their breakers for the subject, where there are some.
        busy: Those with an earlier execution of the subject that goes on.
    """

    breakers: Mapping[str, Breaker]
    busy: frozenset[str]


class Scene(Protocol):
    """Tells what is stored."""

    async def entries(self, tenant: str) -> Sequence[Entry]:
        """Returns what matching needs to know of all rules, also of those that no event fires."""
        ...

    async def rules(self, tenant: str, uids: Collection[str]) -> Mapping[str, tuple[Rule, Principal]]:
        """Returns rules by their uids, each with the principal in whose name it acts."""
        ...

    async def setting(self, tenant: str, uids: Collection[str], subject: str) -> Setting:
        """Returns what may keep rules waiting with an event of a subject."""
        ...

    async def subjects(self, tenant: str, ids: Collection[str]) -> Mapping[str, Subject]:
        """Returns those of some subjects that exist."""
        ...
