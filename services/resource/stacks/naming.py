"""The names of the resources of a stack: they are known before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sutler.errors import Invalid, Violation, invalid

from services.resource.names import Name, compose, key
from services.resource.ports import View
from services.resource.resource_type import ResourceType, unknown_type
from services.resource.stacks.references import Resolution
from services.resource.stacks.resolving import lookup_in
from services.resource.stacks.stack import Template
from services.resource.stacks.stage import Stage, field_of


def types_of(view: View, template: Template) -> dict[str, ResourceType]:
    """Returns the types of members by member id.

    Raises:
        FailedPrecondition: If one is not registered (TYPE_UNKNOWN).
    """
    found: dict[str, ResourceType] = {}
    stage = Stage()
    for index, member in enumerate(template.members):
        with stage.member(index, member.id, "type"):
            type = view.type(member.type)
            if type is None:
                raise unknown_type(member.type)
            found[member.id] = type
    stage.end()
    return found


def names_of(
    view: View, template: Template, types: Mapping[str, ResourceType], order: Iterable[str]
) -> dict[str, Name]:
    """Returns the names of members' resources by member id.

    Args:
        view: The store at this moment.
        template: The stack.
        types: The types of its members.
        order: The ids, each after those that it needs.

    Raises:
        Invalid: If one is no name or cannot stand there (FIELD_INVALID, PARENT_NOT_ALLOWED), or two are the same.
    """
    places = {member.id: place for place, member in enumerate(template.members)}
    names: dict[str, Name] = {}
    taken: dict[str, str] = {}
    stage = Stage()
    for id in order:
        index = places[id]
        with stage.member(index, id):
            name = _name(view, template, index, types[id], names)
            if name is None:
                continue
            other = taken.setdefault(name.key, id)
            if other != id:
                raise invalid(field_of(index), f"stands for {name.text}, and so does the member {other}")
            names[id] = name
    stage.end()
    return names


def _name(view: View, template: Template, index: int, type: ResourceType, names: Mapping[str, Name]) -> Name | None:
    """Returns the name of a member's resource; None if it stands below a member with which something is wrong."""
    member = template.members[index]
    resolution = Resolution(lookup_in(template, {id: name.text for id, name in names.items()}, lambda _: None))
    parent = resolution.text(member.parent, field_of(index, "parent")) or template.scope
    id = resolution.text(member.resource_id or member.id, field_of(index, "resource_id"))
    resolution.end()
    if not resolution.complete:
        return None
    try:
        name = compose(parent, type.type, id, type.allowed_scopes)
        return compose(_spelled(view, name, names), type.type, id, type.allowed_scopes)
    except Invalid as error:
        raise _as_in_request(error, index) from error


def _spelled(view: View, name: Name, names: Mapping[str, Name]) -> str:
    """Returns the parent of a name in the case in which it was created, or will be."""
    above = view.above(name)
    if name.parent and above and key(above[0].name) == key(name.parent):
        return above[0].name
    return next((other.text for other in names.values() if other.key == key(name.parent)), name.parent)


def _as_in_request(error: Invalid, index: int) -> Invalid:
    """Returns an error about a name with the fields of the request."""
    if not error.violations:
        return error
    violations = [Violation(field_of(index, v.field), v.description, v.reason) for v in error.violations]
    metadata = {**error.metadata, "field": violations[0].field}
    return Invalid(error.base, reason=error.reason, metadata=metadata, violations=violations, more=error.more)


def standing(names: Mapping[str, Name]) -> dict[str, list[str]]:
    """Returns by member id the ids of the members below whose resources a member stands."""
    ids = {name.key: id for id, name in names.items()}
    return {id: [ids[above] for above in name.above if above in ids] for id, name in names.items()}
