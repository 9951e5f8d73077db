"""A model of ResourceService in plain Python: it says what every change answers, and what can be seen after it.

It knows nothing of the service and shares no code with it. Policies, quotas and stacks get a module each beside
``checks.py``, and their rules a method each in ``test_model.py``.
"""

from __future__ import annotations

from typing import Any

from tests.integration.resource.model import lives
from tests.integration.resource.model.checks import (
    Proposal,
    check,
    check_action,
    check_delete,
    check_kind,
    check_kind_unused,
)
from tests.integration.resource.model.things import Kind, Refusal, Thing, Wish, Work, key, parent_of
from tests.integration.resource.model.world import World, completed, merged, type_of


class Model(World):
    """One tenant. Each change returns its operation, or raises the :class:`Refusal` that the service must answer."""

    def create(self, parent: str, type: str, id: str, wish: Wish, *, only: bool = False) -> Work:
        """CreateResource."""
        kind = self.kind(type)
        name = self.place(parent, type, id)
        if parent and key(parent) not in self.things:
            raise Refusal("NOT_FOUND")
        return self._accept(Proposal(kind, name, completed(kind, wish), None), only)

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
            type = next((kind.type for kind in self.kinds.values() if key(kind.type) == type_of(name)), type_of(name))
            wish = merged(Wish(), sent, mask)
            return self.create(parent_of(name), type, name.rpartition("/")[2], wish, only=only)
        if not fresh:
            raise Refusal("ETAG_MISMATCH")
        kind = self.kind(before.type)
        wish = completed(kind, merged(before.wish, sent, mask))
        return self._accept(Proposal(kind, before.name, wish, before), only)

    def _accept(self, proposal: Proposal, only: bool) -> Work:
        check(self, proposal)
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
        check_delete(self, thing, force)
        if not only:
            lives.remove(self, thing, work)
        return work

    def invoke(
        self, name: str, action: str, parameters: dict[str, Any], *, fresh: bool = True, only: bool = False
    ) -> Work:
        """InvokeAction."""
        thing = self.find(name)
        if not fresh:
            raise Refusal("ETAG_MISMATCH")
        check_action(self, thing, action, parameters)
        work = Work("invoke", name, str(parameters.get("behave", "ok")))
        if not only:
            lives.invoke(thing, work)
        return work

    def cancel(self, work: Work) -> None:
        """CancelOperation."""
        if work.ended:
            if work.error != "CANCELLED":
                raise Refusal("STATE_INVALID")
            return
        lives.cancel(self, work)

    def abandon(self, work: Work) -> None:
        """AbandonOperation."""
        if work.ended:
            if work.error != "ABANDONED":
                raise Refusal("STATE_INVALID")
            return
        lives.abandon(self, work)

    def put_kind(self, kind: Kind, *, new: bool = False, missing: bool = False, fresh: bool = True, only: bool) -> None:
        """CreateResourceType (``new``) or UpdateResourceType."""
        before = self.kinds.get(key(kind.type))
        if before is None and not (new or missing):
            raise Refusal("NOT_FOUND")
        if before is not None and not new and not fresh:
            raise Refusal("ETAG_MISMATCH")
        if before is None or new:
            parent = kind.type.rpartition("/")[0]
            if "/" in parent:
                self.kind(parent)
            if before is not None:
                raise Refusal("ALREADY_EXISTS")
        else:
            check_kind(self, before, kind)
        if not only:
            self.kinds[key(kind.type)] = kind

    def drop_kind(self, type: str, *, missing: bool = False, only: bool = False) -> None:
        """DeleteResourceType."""
        kind = self.kinds.get(key(type))
        if kind is None:
            if missing:
                return
            raise Refusal("NOT_FOUND")
        check_kind_unused(self, kind)
        if not only:
            del self.kinds[key(type)]

    def expire(self) -> list[Work]:
        """Deletes what has expired, as far as that can be, and returns what hangs."""
        hanging: list[Work] = []
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
                hanging += [] if work.ended else [work]
                again = True
        return hanging


__all__ = ["Kind", "Model", "Refusal", "Thing", "Wish", "Work", "key"]
