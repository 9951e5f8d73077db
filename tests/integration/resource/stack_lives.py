"""A caller whose lives are those of stacks too, for the run in which the service is killed again and again.

A stack is made, changed, made to fail, repaired, cancelled, and deleted or not; every step says which members must be
there after it, with which properties, and how many effects the handler must have had for each.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from google.longrunning.operations_pb2 import CancelOperationRequest, Operation
from sutler.errors import FailedPrecondition, NotFound
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status

from tests.integration.resource.killing import Caller, Expected
from tests.integration.resource.stacking import MACHINES, SERVERS, ST, member, stack, states

UNDO, KEEP = pb.Stack.FAILURE_POLICY_UNDO, pb.Stack.FAILURE_POLICY_KEEP
RS = pb.Resource.State


@dataclass(frozen=True)
class Piece:
    """A member: as it is sent, the name of its resource, and the properties that this must have."""

    message: pb.StackMember
    name: str
    properties: dict[str, Any]

    @property
    def id(self) -> str:
        return self.message.id

    @property
    def handled(self) -> bool:
        """Whether a handler makes it real."""
        return self.message.type == MACHINES


class Life:
    """The life of one stack.

    Args:
        caller: Whose.
        id: What its name and those of its members are made of.
    """

    def __init__(self, caller: "StackCaller", id: str) -> None:
        self._caller = caller
        self._id = id
        self._name = f"stacks/{id}"
        self._there: dict[str, Piece] = {}

    def piece(self, id: str, type: str, after: Piece | None, properties: dict[str, Any], **fields: Any) -> Piece:
        """A member that needs another: its outputs if a handler makes it, else its name."""
        sent, shown = dict(properties), dict(properties)
        if after is not None and after.handled:
            sent["of"] = f"${{members.{after.id}.outputs.machines}}"
            shown["of"] = [f"m{index}" for index in range(after.properties["count"])]
        elif after is not None:
            sent["of"], shown["of"] = f"${{members.{after.id}.name}}", after.name
        of = f"{self._id}-{id}"
        name = self._caller.name(type.rpartition("/")[2], of)
        return Piece(member(id, type, sent, resource_id=of, **fields), name, shown)

    def record(self, id: str, n: int, after: Piece | None = None, **fields: Any) -> Piece:
        """A record."""
        return self.piece(id, SERVERS, after, {"n": n}, **fields)

    def machine(self, id: str, after: Piece, count: int = 1, **more: Any) -> Piece:
        """A thing of the handler."""
        return self.piece(id, MACHINES, after, {"count": count, "seconds": 0.02, **more})

    async def apply(self, *pieces: Piece) -> None:
        """A run that succeeds: its members are there, and what left is gone."""
        done = await self._caller.ended(await self._begin(pieces, UNDO))
        assert done.HasField("response"), done
        self._made(pieces)

    async def fail(self, policy: int, *pieces: Piece) -> None:
        """A run whose last two members are new, and whose last one fails: what is new goes or stays by policy."""
        *_, made, failing = pieces
        done = await self._caller.ended(await self._begin(pieces, policy))
        error = from_status(done.error)
        assert (error.reason, error.metadata["member"], error.metadata["cause"]) == (
            "STACK_MEMBER_FAILED",
            failing.id,
            "HANDLER_FAILED",
        )
        became = {**dict.fromkeys(self._there, "SKIPPED"), **{piece.id: "SUCCEEDED" for piece in pieces[:-2]}}
        became |= {made.id: "SUCCEEDED" if policy == KEEP else "UNDONE", failing.id: "FAILED"}
        self._stands(ST.STATE_FAILED, became)
        self._left(policy, made, RS.STATE_SUCCEEDED)
        self._left(policy, failing, RS.STATE_FAILED)

    async def cancel(self, policy: int, *pieces: Piece) -> None:
        """A run whose last member is new and slow, and that is cancelled, in time or not."""
        caller, new = self._caller, pieces[-1]
        operation = await self._begin(pieces, policy)
        await asyncio.sleep(caller.dice.uniform(0, 0.5))
        with suppress(FailedPrecondition):  # it has ended before
            await caller.patiently("CancelOperation", CancelOperationRequest(name=operation.name))
        done = await caller.ended(operation)
        if done.HasField("response"):
            self._made(pieces)
            return
        assert from_status(done.error).reason == "CANCELLED"
        caller.unsure[new.name] += 1
        found = states(await caller.patiently("GetStack", pb.GetStackRequest(name=self._name)))
        became = list(found.values())
        begun = became.count("SUCCEEDED")
        ends = {UNDO: ("UNDONE", "SKIPPED"), KEEP: ("FAILED", "SKIPPED")}[policy]
        assert set(became[:begun]) <= {"SUCCEEDED"} and set(became[begun:-1]) <= {"SKIPPED"} and became[-1] in ends
        assert list(found) == [piece.id for piece in pieces]
        self._stands(ST.STATE_CANCELED, found)
        if became[-1] == "FAILED":
            self._left(KEEP, new, RS.STATE_CANCELED)

    async def delete(self) -> None:
        """The stack goes, and its members with it; one that is to be kept belongs to none."""
        caller = self._caller
        done = await caller.ended(await caller.begun("DeleteStack", pb.DeleteStackRequest(name=self._name)))
        assert done.HasField("response"), done
        caller.stacks[self._name] = None
        for piece in self._there.values():
            caller.expected[piece.name] = Expected(piece.properties) if piece.message.keep else None

    async def _begin(self, pieces: Sequence[Piece], policy: int) -> Operation:
        wished = stack(*(piece.message for piece in pieces), name=self._name, failure_policy=policy)
        wished.scope = self._caller.group
        return await self._caller.begun("ApplyStack", pb.ApplyStackRequest(stack=wished))

    def _made(self, pieces: Sequence[Piece]) -> None:
        for piece in self._there.values():
            self._caller.expected[piece.name] = None
        for piece in pieces:
            changed = piece.properties != getattr(self._there.get(piece.id), "properties", None)
            self._caller.expected[piece.name] = Expected(piece.properties, stack=self._name)
            self._caller.effects[piece.name] += piece.handled and changed
        self._there = {piece.id: piece for piece in pieces}
        self._stands(ST.STATE_SUCCEEDED, dict.fromkeys(self._there, "SUCCEEDED"))

    def _left(self, policy: int, piece: Piece, state: int) -> None:
        """What a run that failed leaves of a member that is new in it."""
        self._caller.expected[piece.name] = None
        if policy == KEEP:
            self._caller.expected[piece.name] = Expected(piece.properties, state, self._name)
            self._there[piece.id] = piece

    def _stands(self, state: int, members: dict[str, str]) -> None:
        self._caller.stacks[self._name] = (state, members)


class StackCaller(Caller):
    """Lives lives of stacks too.

    Attributes:
        stacks: The state of each stack by name, and what became of its members; None for one that is gone.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stacks: dict[str, tuple[int, dict[str, str]] | None] = {}
        self.kinds.append(self.stack)

    async def stack(self, id: str) -> None:
        """One that is made, changed, and fails; and then it is repaired, and cancelled, or not; and deleted, or not."""
        life, policy = Life(self, id), self.dice.choice((UNDO, KEEP))
        first = life.record("first", 1, keep=self.dice.random() < 0.5)
        disk = life.machine("disk", first)
        await life.apply(first, disk, life.machine("old", disk))
        first, disk = life.record("first", 2, keep=first.message.keep), life.machine("disk", first, count=2)
        await life.apply(first, disk, life.record("left", 1, disk))
        new = life.record("new", 1, disk)
        await life.fail(policy, first, disk, new, life.machine("last", new, behave="final"))
        if self.dice.random() < 0.7:
            last = life.machine("last", new)
            await life.apply(first, disk, new, last)
            await life.cancel(policy, first, disk, new, last, life.machine("slow", last, seconds=0.3))
        if self.dice.random() < 0.5:
            await life.delete()

    async def check(self) -> None:
        """As for other callers, and every stack is as the last answer said."""
        for name, expected in self.stacks.items():
            try:
                found = await self.patiently("GetStack", pb.GetStackRequest(name=name))
            except NotFound:
                assert expected is None, name
                continue
            there = (found.state, states(found))
            assert (there, found.operation) == (expected, ""), (name, there, expected)
        await super().check()
