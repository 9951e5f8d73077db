"""Changes of types against what is stored: what would become invalid stops the change, and is named."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from sutler.errors import Exhausted, FailedPrecondition, Invalid, Violation
from sutler.idempotency import Once

from services.resource.compiling import Compiled, compile_version
from services.resource.marking import secret_paths
from services.resource.moving import key_of
from services.resource.names import check_place, parent_type, parse
from services.resource.ports import Store, Unit, View
from services.resource.proposals import Proposal, check_content, check_outputs, nearest_group
from services.resource.resource import Resource
from services.resource.resource_type import ResourceType

CHUNK = 200
MAX_NAMED = 20
MAX_RENEWED = 10_000
"""How many keys one change of the scopes may give anew: nothing else is written meanwhile, for some 0.1 ms each."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a type that was checked against what is stored.

    Attributes:
        before: The type as it is.
        after: The type as it shall be.
        revision: The newest revision when the check began; what has changed since must be checked again.
    """

    before: ResourceType
    after: ResourceType
    revision: int


class Compatibility:
    """Checks changes of types against stored resources.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def check(self, tenant: str, before: ResourceType, after: ResourceType) -> int:
        """Checks every stored resource of a type, a few at a time, without holding anybody up.

        Returns:
            The newest revision when the check began.

        Raises:
            FailedPrecondition: If one would be invalid (TYPE_CHANGE_INCOMPATIBLE, naming up to 20 of them), or is of a
                version that is left out (IN_USE).
            Exhausted: If there are too many for other scopes (LIMIT_REACHED).
        """
        compiled = _changed(before, after)
        newest = await self._store.read(tenant, lambda view: view.newest())
        problems: list[Violation] = []
        total, last = 0, ""
        held: dict[bytes, str] | None = {} if _scopes_differ(before, after) else None
        while True:
            found = await self._store.scan(
                tenant,
                lambda view, last=last: _check_chunk(view, before, after, compiled, last, 0, held),  # type: ignore[misc]
            )
            if not found.names:
                break
            last = found.names[-1]
            _check_number(after, len(held or ()))
            total += len(found.problems)
            problems += found.problems[: MAX_NAMED - len(problems)]
            await asyncio.sleep(0)
        if problems:
            raise _incompatible(after, problems, total)
        return newest

    def store(self, change: Change, once: Once | None, unit: Unit) -> ResourceType | None:
        """Stores a change, within a change of the store, after a look at what has changed since it was checked.

        Returns:
            The type as stored; None if the type itself has changed meanwhile.

        Raises:
            SutlerError: As :meth:`check`.
        """
        before, after = change.before, change.after
        now = unit.type(before.type)
        if now is None or (now.uid, now.revision) != (before.uid, before.revision):
            return None
        compiled = _changed(before, after)
        last = ""
        while (found := _check_chunk(unit, before, after, compiled, last, change.revision)).names:
            if found.problems:
                raise _incompatible(after, found.problems[:MAX_NAMED], len(found.problems))
            last = found.names[-1]
        if _scopes_differ(before, after):
            _renew_keys(unit, after)
        stored = unit.put_type(before, replace(after, update_time=unit.now))
        assert stored is not None
        unit.remember(once, stored)
        return stored


@dataclass(frozen=True, slots=True)
class _Chunk:
    names: list[str]
    problems: list[Violation]


def _scopes_differ(before: ResourceType, after: ResourceType) -> bool:
    return set(before.uniqueness_scopes) != set(after.uniqueness_scopes)


def _changed(before: ResourceType, after: ResourceType) -> dict[str, Compiled]:
    """Returns the versions whose schema or rules differ, compiled."""
    old = {version.version: version for version in before.versions}
    return {
        version.version: compile_version(version, f"resource_type.versions[{index}]")
        for index, version in enumerate(after.versions)
        if version.version in old
        and (version.schema, version.output_schema, version.rules)
        != (old[version.version].schema, old[version.version].output_schema, old[version.version].rules)
    }


def _check_chunk(
    view: View,
    before: ResourceType,
    after: ResourceType,
    compiled: dict[str, Compiled],
    last: str,
    since: int,
    held: dict[bytes, str] | None = None,
) -> _Chunk:
    """Checks some resources of a type; ``held`` has the new keys of those before them, where keys change."""
    kept = {version.version for version in after.versions}
    guarded = {
        old.version
        for old in before.versions
        if (new := compiled.get(old.version))
        and old.schema != new.version.schema
        and (new.secrets or secret_paths(old.schema))
    }
    problems: list[Violation] = []
    resources = view.of_type(before.type, last, since, CHUNK)
    for resource in resources:
        version = resource.declared.type_version
        if version not in kept:
            raise FailedPrecondition(
                f"{resource.name} is of version {version}; keep the version, retired if nothing new may use it",
                reason="IN_USE",
                metadata={"user": resource.name, "version": version},
                resource=after.name,
            )
        why = _wrong(view, resource, after, compiled.get(version), version in guarded)
        if why:
            problems.append(Violation(resource.name, why[:500], "TYPE_CHANGE_INCOMPATIBLE"))
        elif held is not None and after.uniqueness_scopes:
            holder = held.setdefault(_key(view, after, resource.name), resource.name)
            if holder != resource.name:
                problems.append(_doubled(resource.name, holder))
    return _Chunk([resource.name for resource in resources], problems)


def _wrong(view: View, resource: Resource, after: ResourceType, compiled: Compiled | None, guarded: bool) -> str:
    name = parse(resource.name)
    try:
        if not parent_type(after.type):
            check_place(name.parent, after.type, after.allowed_scopes)
        if compiled is None:
            return ""
        if guarded:
            return "a schema with writeOnly cannot change while there are resources of the version"
        parent = view.resource(name.parent) if compiled.sees_parent and name.parent else None
        resource = view.opened(resource)
        proposal = Proposal(view.tenant, name, after, compiled, None, resource.declared, (), parent)
        check_content(proposal, resource)
    except Invalid as error:
        return error.message
    return check_outputs(compiled, resource.outputs) if resource.observed_generation else ""


def _renew_keys(unit: Unit, after: ResourceType) -> None:
    """Has all resources of a type hold the keys of its new scopes."""
    unit.drop_keys_of_type(after.type)
    if not after.uniqueness_scopes:
        return
    problems: list[Violation] = []
    count, last = 0, ""
    while resources := unit.of_type(after.type, last, 0, CHUNK):
        count += len(resources)
        _check_number(after, count)
        wanted = {resource.name: _key(unit, after, resource.name) for resource in resources}
        holders = unit.holders(list(wanted.values()))
        free = {name: unique for name, unique in wanted.items() if holders.setdefault(unique, name) == name}
        if free:
            unit.hold_keys(free)
        problems += [_doubled(name, holders[unique]) for name, unique in wanted.items() if name not in free]
        last = resources[-1].name
    if problems:
        raise _incompatible(after, problems[:MAX_NAMED], len(problems))


def _check_number(type: ResourceType, count: int) -> None:
    if count > MAX_RENEWED:
        raise Exhausted(
            f"there are more than {MAX_RENEWED} of {type.type}, whose keys would change with its uniqueness_scopes; "
            "register another type with these scopes, or leave no scopes at all",
            reason="LIMIT_REACHED",
            metadata={"type": type.type, "limit": str(MAX_RENEWED)},
            resource=type.name,
        )


def _key(view: View, type: ResourceType, name: str) -> bytes:
    return key_of(type.type, name, nearest_group(view.above(parse(name))), type.uniqueness_scopes)


def _doubled(name: str, holder: str) -> Violation:
    return Violation(name, f"has the same key as {holder}", "NOT_UNIQUE")


def _incompatible(type: ResourceType, problems: list[Violation], total: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"{total} stored resources of {type.type} would become invalid, the first of them {problems[0].field}: "
        f"{problems[0].description}; add a version instead",
        reason="TYPE_CHANGE_INCOMPATIBLE",
        metadata={"type": type.type, "resources": str(total)},
        violations=problems,
        resource=type.name,
    )
