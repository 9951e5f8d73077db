"""Changes of resources in the model: what they answer, and what becomes of them."""

from __future__ import annotations

from typing import Any

from tests.integration.resource.model import lives
from tests.integration.resource.model.checks import Proposal, check, check_action, check_delete, prepared
from tests.integration.resource.model.stacks import Stack
from tests.integration.resource.model.things import Refusal, Thing, Wish, Work, key, parent_of
from tests.integration.resource.model.world import World, merged, type_of


class Resources(World):
    """The resources of a tenant. Each change returns its operation, or raises the Refusal that the service answers.

    Attributes:
        stacks: The stacks, by key.
        works: The operations that are known by name, and those that hang.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stacks: dict[str, Stack] = {}
        self.works: list[Work] = []

    def create(self, parent: str, type: str, id: str, wish: Wish, *, only: bool = False) -> Work:
        """CreateResource."""
        kind = self.kind(type)
        name = self.place(parent, type, id)
        if parent and key(parent) not in self.things:
            raise Refusal("NOT_FOUND")
        return self._accept(Proposal(kind, name, wish, None), only)

    def update(
        self,
        name: str,
        sent: Wish,
        mask: tuple[str, ...] | None,
        *,
        fresh: bool = True,
        missing: bool = False,
        only: bool = False,
    ) -> Work:
        """UpdateResource; ``fresh`` says whether the etag is the present one."""
        before = self.things.get(key(name))
        if before is None:
            if not missing:
                raise Refusal("NOT_FOUND")
            if not fresh:
                raise Refusal("ETAG_MISMATCH")
            type = next((kind.type for kind in self.kinds.values() if key(kind.type) == type_of(name)), type_of(name))
            wish = merged(Wish(), sent, mask)
            return self.create(parent_of(name), type, name.rpartition("/")[2], wish, only=only)
        if not fresh:
            raise Refusal("ETAG_MISMATCH")
        return self._accept(
            Proposal(self.kind(before.type), before.name, merged(before.wish, sent, mask), before), only
        )

    def declare(self, name: str, type: str, wish: Wish) -> Work:
        """Creates or changes a member of a stack."""
        before = self.things.get(key(name))
        if before is None:
            return self.create(parent_of(name), type, name.rpartition("/")[2], wish)
        return self._accept(Proposal(self.kind(type), before.name, wish, before), only=False)

    def _accept(self, proposal: Proposal, only: bool) -> Work:
        proposal = prepared(self, proposal)
        findings = check(self, proposal)
        work = Work("apply", proposal.name)
        before = proposal.before
        if only or proposal.idle:
            return work
        handled = lives.concerns_handler(proposal.kind.handled, before, proposal.wish)
        if before is None:
            thing = Thing(proposal.name, proposal.kind.type, proposal.wish, observed=0)
            self.things[key(proposal.name)] = thing
        else:
            thing = before
            thing.wish, thing.generation = proposal.wish, thing.generation + 1
        thing.findings = findings
        if handled:
            lives.apply(self, thing, work)
        else:
            thing.state, thing.reason, thing.observed = "SUCCEEDED", "", thing.generation
        return work

    def delete(
        self, name: str, *, fresh: bool = True, missing: bool = False, force: bool = False, only: bool = False
    ) -> Work:
        """DeleteResource."""
        work = Work("delete", name)
        thing = self.things.get(key(name))
        if thing is None:
            if missing:
                return work
            raise Refusal("NOT_FOUND")
        if not fresh:
            raise Refusal("ETAG_MISMATCH")
        findings = check_delete(self, thing, force)
        if not only:
            thing.findings = findings
            lives.remove(self, thing, work)
        return work

    def invoke(
        self, name: str, action: str, parameters: dict[str, Any], *, fresh: bool = True, only: bool = False
    ) -> Work:
        """InvokeAction."""
        thing = self.find(name)
        if not fresh:
            raise Refusal("ETAG_MISMATCH")
        findings = check_action(self, thing, action, parameters)
        work = Work("invoke", name, str(parameters.get("behave", "ok")))
        if not only:
            thing.findings = findings
            lives.invoke(thing, work)
        return work

    def expire(self) -> None:
        """Deletes what has expired, as far as that can be."""
        again = True
        while again:
            again = False
            for name in sorted(self.things):
                thing = self.things.get(name)
                if thing is None or thing.wish.expires != "past" or thing.work:
                    continue
                try:
                    work = self.delete(thing.name, force=True)
                except Refusal:
                    continue
                self.works += [] if work.ended else [work]
                again = True
