"""A model of ResourceService in plain Python: it says what every change answers, and what can be seen after it.

It knows nothing of the service and shares no code with it. ``things.py`` and ``world.py`` say what there is; of
resources, ``checks.py`` and ``rulings.py`` say what is refused, ``resources.py`` and ``lives.py`` what becomes of the
rest; of types ``kinds.py``; of stacks ``planning.py`` and ``runs.py``. The methods of :class:`Model` are the RPCs.
"""

from __future__ import annotations

from tests.integration.resource.model import lives
from tests.integration.resource.model.kinds import check_kind, check_kind_unused
from tests.integration.resource.model.planning import planned, removals
from tests.integration.resource.model.resources import Resources
from tests.integration.resource.model.runs import Unclear, abandon, go_on
from tests.integration.resource.model.stacks import Piece, Stack
from tests.integration.resource.model.things import Kind, Refusal, Thing, Wish, Work, key


class Model(Resources):
    """One tenant. Each change returns its operation, or raises the :class:`Refusal` that the service must answer."""

    def apply_stack(
        self, name: str, scope: str, pieces: tuple[Piece, ...], policy: str, *, fresh: bool = True, only: bool = False
    ) -> Work:
        """ApplyStack."""
        if len({piece.id for piece in pieces}) < len(pieces):
            raise Refusal("FIELD_INVALID")
        before = self.stacks.get(key(name))
        if not fresh:
            raise Refusal("ETAG_MISMATCH")
        stack = planned(self, before, name, scope, pieces, policy)
        work = Work("apply_stack", stack.name)
        if not only:
            work.ended = False
            stack.work = work
            self.stacks[key(name)] = stack
            go_on(self, stack)
        return work

    def delete_stack(
        self, name: str, *, fresh: bool = True, missing: bool = False, force: bool = False, only: bool = False
    ) -> Work:
        """DeleteStack."""
        work = Work("delete_stack", name)
        stack = self.stacks.get(key(name))
        if stack is None:
            if missing:
                return work
            raise Refusal("NOT_FOUND")
        if not fresh:
            raise Refusal("ETAG_MISMATCH")
        if stack.work is not None:
            raise Refusal("OPERATION_IN_PROGRESS")
        leaving = [member for member in stack.members if member.thing is not None]
        members = removals(self, stack.name, leaving, [], force=force)
        if only:
            return work
        if not members:
            del self.stacks[key(name)]
            return work
        work.ended = False
        stack.members, stack.state, stack.error, stack.work, stack.force = members, "DELETING", "", work, force
        go_on(self, stack)
        return work

    def cancel(self, number: int) -> None:
        """CancelOperation."""
        work = self.works[number]
        if work.ended:
            if work.error != "CANCELLED":
                raise Refusal("STATE_INVALID")
            return
        stack = self._run(work)
        if stack is None:
            lives.cancel(self, work)
        else:
            stack.cancelling = True
        self._go_on()

    def abandon(self, number: int) -> None:
        """AbandonOperation."""
        work = self.works[number]
        if work.ended:
            if work.error != "ABANDONED":
                raise Refusal("STATE_INVALID")
            return
        stack = self._run(work)
        if stack is None:
            lives.abandon(self, work)
        else:
            abandon(stack)
        self._go_on()

    def _run(self, work: Work) -> Stack | None:
        return next((stack for stack in self.stacks.values() if stack.work is work), None)

    def _go_on(self) -> None:
        for stack in list(self.stacks.values()):
            go_on(self, stack)

    def put_kind(self, kind: Kind, *, new: bool = False, missing: bool = False, fresh: bool = True, only: bool) -> None:
        """CreateResourceType (``new``) or UpdateResourceType."""
        before = self.kinds.get(key(kind.type))
        if before is None and not (new or missing):
            raise Refusal("NOT_FOUND")
        if before is not None and not new and not fresh:
            raise Refusal("ETAG_MISMATCH")
        if kind.versions[-1].retired and (new or before is None or not all(v.retired for v in kind.versions)):
            raise Refusal("FIELD_INVALID")
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


__all__ = ["Kind", "Model", "Piece", "Refusal", "Stack", "Thing", "Unclear", "Wish", "Work", "key"]
