"""What a run has to do: the stack as it is wished, compared with what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sutler.errors import Invalid, not_found

from services.resource.differences import differences, same
from services.resource.handling import Planned
from services.resource.hiding import hide
from services.resource.marking import secret_paths
from services.resource.names import Name, key
from services.resource.ports import View
from services.resource.resource import Declared, Resource
from services.resource.resource_type import ResourceType
from services.resource.stacks.failures import conflict
from services.resource.stacks.leaving import leaving_step, removals
from services.resource.stacks.merging import Applied, merged
from services.resource.stacks.naming import names_of, standing, types_of
from services.resource.stacks.ordering import ordered
from services.resource.stacks.outputs import given
from services.resource.stacks.resolving import dependencies, lookup_in, named_resources, wished
from services.resource.stacks.stack import Action, Member, MemberState, Stack, Template
from services.resource.stacks.stage import Stage, field_of
from services.resource.states import State

DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Step:
    """What a run has to do with one member.

    Attributes:
        member: The member.
        index: Its place in the request.
        type: Its type.
        name: The name of its resource.
        before: The resource as it is; None if it is to be created.
        sent: The properties that the stack sends.
        after: What would be declared of it; what is not known yet stays a reference.
        complete: Whether all of that is known.
        state: What the stack knows of it.
        reason: Why it is done, for people.
    """

    member: Member
    index: int
    type: ResourceType
    name: Name
    before: Resource | None
    sent: Mapping[str, Any]
    after: Declared
    complete: bool
    state: MemberState
    reason: str = ""

    @property
    def planned(self) -> Planned:
        """The step as callers see it; whether secrets that are sent are those that are stored they do not see."""
        known = self.before.declared.forgetting(self.sent, self.after.secrets) if self.before else None
        action, reason = self.state.action, self.reason
        if action is Action.KEEP and known and not same(known, self.after):
            action, reason = Action.UPDATE, DIFFERS
        return Planned(action.name, self.name.text, reason=reason, changes=tuple(differences(known, self.after)))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run has to do.

    Attributes:
        steps: Members that are declared, in the order in which they begin.
        leaving: Resources that are no longer declared, in the order in which they go.
    """

    steps: Sequence[Step]
    leaving: Sequence[MemberState]

    @property
    def states(self) -> tuple[MemberState, ...]:
        """What the stack is to know of all of them: as the request lists them, then those that leave."""
        steps = sorted(self.steps, key=lambda step: step.index)
        return (*(step.state for step in steps), *self.leaving)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members as the request lists them, with what is known of their secrets."""
        return tuple(step.member for step in sorted(self.steps, key=lambda step: step.index))

    @property
    def planned(self) -> tuple[Planned, ...]:
        """All steps as callers see them."""
        return (*(step.planned for step in self.steps), *map(leaving_step, self.leaving))


class Planner:
    """Plans one run.

    Args:
        view: The store at this moment.
        before: The stack as it is; None if it is new.
        name: The name of the stack.
        template: What is wished.

    Raises:
        SutlerError: As the contract of ApplyStack says, as far as the shape of the stack goes.
    """

    def __init__(self, view: View, before: Stack | None, name: str, template: Template) -> None:
        self._view = view
        self._name = name
        self._template = template
        self._before = {state.key: state for state in before.member_states} if before else {}
        self._types = types_of(view, template)
        try:
            needs = dependencies(template)
        except Invalid as error:
            for index, member in enumerate(template.members):
                self._hide(error, index, member)
            raise
        order = ordered(needs)
        self.names: Mapping[str, Name] = names_of(view, template, self._types, order)
        below = standing(self.names)
        self._needs = {id: [*needs[id], *below[id]] for id in needs}
        self._steps: dict[str, Step] = {}

    @property
    def leaving_names(self) -> list[str]:
        """The names of the resources that belong to the stack and are no longer declared."""
        wanted = {name.key for name in self.names.values()}
        return [state.resource for at, state in self._before.items() if state.uid and at not in wanted]

    def plan(self) -> Plan:
        """Returns the plan.

        Raises:
            SutlerError: As the constructor, and where something above a member does not exist.
        """
        self._check_places()
        self._add_named()
        places = {member.id: place for place, member in enumerate(self._template.members)}
        stage = Stage()
        for id in ordered(self._needs):
            with stage.member(places[id], id):
                self._steps[id] = self._step(places[id])
        with stage.rest():
            given(self._template.output_values, self._lookup())
        stage.end()
        return Plan(list(self._steps.values()), self._leaving())

    def _check_places(self) -> None:
        """Checks that what members stand below exists, or will."""
        scope = self._template.scope
        if scope and self._view.resource(scope) is None:
            raise not_found(scope)
        members = {name.key for name in self.names.values()}
        stage = Stage()
        for index, member in enumerate(self._template.members):
            above = self.names[member.id].parent
            with stage.member(index, member.id, "parent"):
                if above and key(above) not in members and self._view.resource(above) is None:
                    raise not_found(above)
        stage.end()

    def _add_named(self) -> None:
        """Lets members come after those that they name as their location or in their references without ``${``."""
        ids = {name.key: id for id, name in self.names.items()}
        lookup = self._lookup()
        for index, member in enumerate(self._template.members):
            try:
                declared, _ = wished(replace(member, properties={}), index, lookup)
            except Invalid:  # is told with all that is wrong with the member
                continue
            self._needs[member.id] += [ids[other] for other in named_resources(declared) if other in ids]

    def _step(self, index: int) -> Step:
        member = self._template.members[index]
        name, type = self.names[member.id], self._types[member.id]
        try:
            wish, complete = wished(member, index, self._lookup())
        except Invalid as error:
            self._hide(error, index, member)
            raise
        before = self._view.resource(name.text)
        before = None if before is None else self._view.opened(before)
        if before is not None and key(before.stack) not in ("", key(self._name)):
            raise conflict(before.name, before.stack)
        known = self._before.get(name.key)
        applied = known.applied if known and before and known.uid == before.uid else None
        after = _merged(before, wish, applied)
        secrets = secret_paths(type.find(after.type_version).schema)
        after, member = replace(after, secrets=secrets), replace(member, secrets=secrets)
        action, reason = _action(before, after, complete, self._name)
        state = MemberState(
            member=member.id,
            resource=before.name if before else name.text,
            action=action,
            uid=known.uid if known else "",
            keep=member.keep,
            needs=tuple(dict.fromkeys(self.names[other].key for other in self._needs[member.id])),
            applied=applied,
        )
        return Step(member, index, type, name, before, wish.properties, after, complete, state, reason)

    def _hide(self, error: Invalid, index: int, member: Member) -> None:
        """Has an error tell nothing of what is in a secret, by any version of the type."""
        for version in self._types[member.id].versions:
            hide(error, field_of(index, "properties"), secret_paths(version.schema))

    def _lookup(self) -> Any:
        return lookup_in(self._template, {id: name.text for id, name in self.names.items()}, self._outputs)

    def _outputs(self, id: str) -> Mapping[str, Any] | None:
        """Returns the outputs of a member, if they will surely be those after the run."""
        step = self._steps.get(id)
        if step is None:
            return None
        if step.state.action is Action.KEEP or step.type.made_by.records:
            return step.before.outputs if step.before else {}
        return None

    def _leaving(self) -> list[MemberState]:
        """Returns what leaves, dependent ones first.

        Raises:
            FailedPrecondition: If something stands below it that stays (HAS_CHILDREN).
        """
        leaving = {key(name): self._before[key(name)] for name in self.leaving_names}
        return removals(self._view, self._name, leaving, [name.text for name in self.names.values()], force=False)


def _merged(before: Resource | None, wish: Declared, applied: Applied | None) -> Declared:
    """Returns what would be declared; a move to another version drops secrets that are not sent anew."""
    if before is None:
        return merged(None, wish, applied)
    moves = wish.type_version not in ("", before.declared.type_version)
    return merged(before.declared.public if moves else before.declared, wish, applied)


def _action(before: Resource | None, after: Declared, complete: bool, stack: str) -> tuple[Action, str]:
    if before is None:
        return Action.CREATE, "does not exist"
    if not complete:
        return Action.UPDATE, "depends on values that only the run will know"
    if not same(before.declared, after):
        return Action.UPDATE, DIFFERS
    if before.state is not State.SUCCEEDED:
        return Action.UPDATE, f"is {before.state.name}"
    return Action.KEEP, "is as declared" if key(before.stack) == key(stack) else "is as declared, and joins the stack"
