"""Writes rules: checks what they say, what they call, and that their authors may do all that they do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from sutler.auth import authorize, encode_principal
from sutler.context import Principal
from sutler.errors import AlreadyExists, Conflict, NotFound, Violation
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.ids import new_id

from services.rule.definitions import Definition, OutsideCall
from services.rule.faults import Fault, refuse
from services.rule.ports import Outside
from services.rule.programs import Program, compile_program
from services.rule.rights import check_rights
from services.rule.rules import Rule, RuleStore, Wanted, Writing, taken

CREATE = "rule.rules.create"
MAX_RACES = 10
"""How often an update begins again because another one was faster."""


class Rules:
    """Writes rules.

    Args:
        store: Where they are stored.
        outside: What they may call.
    """

    def __init__(self, store: RuleStore, outside: Outside) -> None:
        self._store = store
        self._outside = outside

    async def create(
        self, tenant: str, author: Principal, id_: str, wanted: Wanted, once: Once | None, *, staged: bool, dry: bool
    ) -> Rule:
        """Stores a new rule, active unless it is staged; with ``dry`` only checks and returns the would-be rule.

        Raises:
            AlreadyExists: If the name is taken, also in other letter case.
            Invalid: If it does not compile, or a call does not fit its method.
            PermissionDenied: If the author lacks a permission, or the operator does not allow a method.
        """
        await self.check(wanted.definition, author)
        rule = _wished(Rule(f"rules/{id_}", tenant, new_id(), wanted.definition, latest=1), wanted)
        if not staged:
            rule = replace(rule, active=1, principal=author.subject)
        if not dry:
            return await self._store.create(Writing(rule, wanted.definition, encode_principal(author)), once)
        await self._refuse_taken(tenant, rule.name)
        return rule

    async def update(
        self,
        tenant: str,
        author: Principal,
        name: str,
        merge: Callable[[Rule | None], Wanted],
        etag: str,
        once: Once | None,
        *,
        allow_missing: bool,
        staged: bool,
        dry: bool,
    ) -> Rule:
        """Changes a rule to what ``merge`` makes of it, or creates it with ``allow_missing``.

        Raises:
            NotFound: If there is none of that name.
            Conflict: If ``etag`` is not the current one.
            PermissionDenied: If it would be created, and the author may not do that.
            SutlerError: As :meth:`create`.
        """
        for race in range(MAX_RACES):
            try:
                stored = await self._store.get(tenant, name)
            except NotFound:
                if not allow_missing:
                    raise
                authorize(author, CREATE, [name])
                wanted = merge(None)
                id_ = name.removeprefix("rules/")
                try:
                    return await self.create(tenant, author, id_, wanted, once, staged=staged, dry=dry)
                except AlreadyExists:
                    continue
            check_etag(etag, stored.etag, stored.name)
            writing = await self._writing(stored, merge(stored), author, staged=staged)
            if dry:
                return writing.rule
            try:
                return await self._store.update(writing, once)
            except Conflict:
                if etag or race == MAX_RACES - 1:
                    raise
        raise taken(name)

    async def activate(
        self, tenant: str, author: Principal, name: str, etag: str, once: Once | None, *, dry: bool
    ) -> Rule:
        """Makes a revision the active one, in the name of the caller.

        Raises:
            NotFound: If there is none of that name.
            Conflict: If ``etag`` is not the rule's current one.
            SutlerError: As :meth:`create`, if it does not pass its checks any more.
        """
        revision = await self._store.revision(tenant, name)
        await self.check(revision.definition, author, "")
        if not dry:
            return await self._store.activate(revision, author, etag, once)
        rule = await self._store.get(tenant, revision.rule)
        check_etag(etag, rule.etag, rule.name)
        return replace(rule, active=revision.number, definition=revision.definition, principal=author.subject)

    async def delete(
        self, tenant: str, name: str, etag: str, once: Once | None, *, allow_missing: bool, force: bool, dry: bool
    ) -> None:
        """Deletes a rule; executions under way finish, or are cancelled with ``force``.

        Raises:
            NotFound: If there is none of that name, unless ``allow_missing``.
            Conflict: If ``etag`` is not the current one.
        """
        try:
            if dry:
                check_etag(etag, (await self._store.get(tenant, name)).etag, name)
            else:
                await self._store.delete(tenant, name, etag, once, force=force)
        except NotFound:
            if not allow_missing:
                raise
            if not dry:
                await self._store.deleted_already(once)

    async def check(self, definition: Definition, author: Principal, prefix: str = "rule") -> None:
        """Compiles a rule and checks what it calls, and that its author may do all that it does.

        Raises:
            Invalid: If it does not compile, or a call does not fit its method.
            PermissionDenied: If the author lacks a permission, or the operator does not allow a call.
            Unavailable: If a service that is called cannot be asked for its methods.
        """
        calls: list[Violation] = []
        for index, action in enumerate(definition.actions):
            if isinstance(action.do, OutsideCall):
                calls += await self._outside.check(action.do, f"actions[{index}].{action.do.kind}", author.tenant)
        program = compiled(definition, prefix, calls)
        for part in program.actions:
            if isinstance(part.do, OutsideCall):
                authorize(author, self._outside.permission(part.do), None)
            else:
                check_rights(author, part.known())

    async def _writing(self, stored: Rule, wanted: Wanted, author: Principal, *, staged: bool) -> Writing:
        if wanted.definition == stored.definition and (staged or stored.active):
            return Writing(_wished(stored, wanted))
        await self.check(wanted.definition, author)
        rule = replace(_wished(stored, wanted), latest=stored.latest + 1)
        if not staged:
            rule = replace(rule, definition=wanted.definition, active=rule.latest, principal=author.subject)
        return Writing(rule, wanted.definition, encode_principal(author))

    async def _refuse_taken(self, tenant: str, name: str) -> None:
        try:
            await self._store.get(tenant, name)
        except NotFound:
            return
        raise taken(name)


def _wished(rule: Rule, wanted: Wanted) -> Rule:
    return replace(rule, display_name=wanted.display_name, description=wanted.description, enabled=wanted.enabled)


def compiled(definition: Definition, prefix: str, more: Iterable[Violation] = ()) -> Program:
    """Returns a rule compiled.

    Args:
        definition: What it says.
        prefix: The path of the rule in the request.
        more: What else is wrong with it.

    Raises:
        Invalid: If something is wrong with it.
    """
    program, faults = compile_program(definition)
    faults += [Fault(name, "must not be empty", "FIELD_INVALID") for name in _missing(definition)]
    refuse([*faults, *more], prefix)
    return program


def _missing(definition: Definition) -> list[str]:
    return [name for name in ("on", "actions") if not getattr(definition, name)]
