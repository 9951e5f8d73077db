"""What a member wishes once its references are replaced, and what it needs because of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from sutler.errors import invalid

from services.resource.names import key, parse
from services.resource.resource import Declared
from services.resource.stacks.references import (
    Lookup,
    Missing,
    NotYet,
    Reference,
    Resolution,
    follow,
    leads_nowhere,
    marks,
    parsed,
    unresolved,
)
from services.resource.stacks.stack import Member, Template
from services.resource.stacks.stage import Stage, field_of

FIELDS = ("resource_id", "parent", "display_name", "properties", "tags", "location", "references")
"""The fields of a member that may hold references."""

OUTPUT_VALUES = "stack.output_values"
"""Where the values that a stack gives stand in the request."""

MAX_LOOKED_UP = 4 * 1024 * 1024
"""How many bytes the references of one member may lead to in all; a resource may have 1 MiB of properties."""

MAX_BYTES = {"display_name": 256, "tags": 256}
"""How long a text may be once its references are replaced, as in a resource."""


def dependencies(template: Template) -> dict[str, list[str]]:
    """Returns for each member the ids of those that it names, and checks all references as far as the request goes.

    Raises:
        Invalid: If one leads to a member or parameter that is not there (REFERENCE_UNRESOLVED), is malformed, or stands
            where it cannot (FIELD_INVALID).
    """
    needs: dict[str, list[str]] = {member.id: [] for member in template.members}

    def target(name: str, where: str, text: str | None) -> list[str]:
        """Returns the member to which a reference in a field leads, if it does lead to one."""
        reference = parsed(text, where)
        _check_place(name, where, reference)
        if not reference.member:
            _check_parameter(template, where, reference)
        elif reference.member not in needs:
            raise leads_nowhere(where, reference.text, f"there is no member {reference.member}")
        return [reference.member] if reference.member else []

    stage = Stage()
    for index, member in enumerate(template.members):
        for place, other in enumerate(member.dependencies):
            with stage.member(index, member.id):
                if other not in needs:
                    raise unresolved(field_of(index, f"dependencies[{place}]"), other, f"there is no member {other}")
                needs[member.id].append(other)
        for name in FIELDS:
            for where, text in marks(getattr(member, name), field_of(index, name)):
                with stage.member(index, member.id):
                    needs[member.id] += target(name, where, text)
    for where, text in marks(template.output_values, OUTPUT_VALUES):
        with stage.rest():
            target("output_values", where, text)
    stage.end()
    return needs


def lookup_in(
    template: Template, names: Mapping[str, str], outputs: Callable[[str], Mapping[str, Any] | None]
) -> Lookup:
    """Returns what finds what references lead to.

    Args:
        template: The stack.
        names: The names of the members' resources by member id, as far as they are known.
        outputs: Returns the outputs of a member by its id; None if they are not known yet.
    """

    left = MAX_LOOKED_UP

    def lookup(reference: Reference) -> Any:
        nonlocal left
        found = find(reference)
        left -= len(found) if isinstance(found, str) else len(orjson.dumps(found))
        if left < 0:
            raise invalid("stack.members", f"references lead to more than {MAX_LOOKED_UP} bytes", reason="TOO_LARGE")
        return found

    def find(reference: Reference) -> Any:
        if not reference.member:
            return follow(template.parameters, reference.path, "the stack's parameters")
        if reference.what == "name":
            if reference.member not in names:
                raise NotYet
            return names[reference.member]
        found = outputs(reference.member)
        if found is None:
            raise NotYet
        return follow(found, reference.path, f"the output of {reference.member}")

    return lookup


def wished(member: Member, index: int, lookup: Lookup) -> tuple[Declared, bool]:
    """Returns what a member wishes of its resource, and whether all references in it could be replaced.

    Raises:
        Invalid: If one leads nowhere (REFERENCE_UNRESOLVED), or a value does not fit its field (FIELD_INVALID).
    """
    resolution = Resolution(lookup)

    def text(value: str, name: str) -> str:
        return resolution.text(value, field_of(index, name))

    declared = Declared(
        type_version=member.type_version,
        display_name=text(member.display_name, "display_name"),
        properties=resolution.data(dict(member.properties), field_of(index, "properties")),
        tags={name: text(value, f"tags.{name}") for name, value in member.tags.items()},
        location=text(member.location, "location"),
        references=tuple(text(value, f"references[{place}]") for place, value in enumerate(member.references)),
        expire_time=member.expire_time,
        lock=member.lock,
    )
    resolution.end()
    if resolution.complete:
        _check_fields(declared, index)
    return declared, resolution.complete


def named_resources(declared: Declared) -> Iterator[str]:
    """Yields the keys of other resources that must exist before this one."""
    yield from map(key, declared.references)
    if declared.location:
        yield key(declared.location)


def _check_place(name: str, where: str, reference: Reference) -> None:
    if name == "resource_id" and reference.member:
        raise invalid(where, "may hold references to parameters only")
    if name == "parent" and reference.what == "outputs":
        raise invalid(where, "may hold references to parameters and to names of members only")


def _check_parameter(template: Template, where: str, reference: Reference) -> None:
    try:
        follow(template.parameters, reference.path, "the stack's parameters")
    except Missing as missing:
        raise leads_nowhere(where, reference.text, str(missing)) from missing


def _check_fields(declared: Declared, index: int) -> None:
    """Checks what the contract demands of fields of a resource, now that references have been replaced."""
    texts = [("display_name", declared.display_name), *((f"tags.{name}", text) for name, text in declared.tags.items())]
    for name, text in texts:
        longest = MAX_BYTES[name.partition(".")[0]]
        if len(text.encode()) > longest:
            raise invalid(field_of(index, name), f"is longer than {longest} bytes", reason="TOO_LARGE")
    if declared.location:
        where = field_of(index, "location")
        if parse(declared.location, where).type.lower() != "sutler.resource/locations":
            raise invalid(where, "must be the name of a location, locations/{location}")
    for place, target in enumerate(declared.references):
        where = field_of(index, f"references[{place}]")
        parse(target, where)
        if target in declared.references[:place]:
            raise invalid(where, f"{target} is listed twice")
