"""Random events, writes and rules through a real channel, compared with a plain model of subjects and cascades.

The short run is part of the suite and always the same. The long one (``make crash``) takes new examples each time, from
a seed that it prints; ``SEED=…`` repeats one.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sutler.client import connect
from sutler.errors import NotFound, SutlerError
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status
from sutler.testing import wait_until
from sutler.wire import from_struct, to_value

from tests.integration.rule import conftest
from tests.integration.rule import model_parts as parts
from tests.integration.rule.conftest import Server, Tenant, on_both, token
from tests.integration.rule.model import (
    Event,
    Happened,
    Model,
    Reaction,
    Refused,
    Subject,
    Write,
    text,
)

T = TypeVar("T")


class Machine(RuleBasedStateMachine):
    """One tenant for each example."""

    loop: asyncio.AbstractEventLoop
    server: Server
    reached: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.seen: set[str] = set()
        self.sent: list[tuple[str, Any, Any]] = []
        self.published: list[pb.Event] = []
        self.stack = AsyncExitStack()
        name = f"m{uuid.uuid4().hex[:12]}"
        client = connect(self.server.address, token=token(name))
        self.t = Tenant(name, self.wait(self.stack.enter_async_context(client)), self.server)

    def teardown(self) -> None:
        self.wait(self.stack.aclose())

    def wait(self, call: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.ensure_future(call, loop=self.loop))

    def call(self, method: str, request: Any) -> Any:
        """What a call gives, or the reason why it fails."""
        request.request_id = str(uuid.uuid4())
        try:
            answer = self.wait(getattr(self.t.s.rules, method)(request))
        except SutlerError as error:
            self.reached[f"{method} {error.reason}"] += 1
            return error.reason
        self.reached[f"{method} done"] += 1
        self.sent.append((method, request, answer))
        return answer

    @initialize(some=st.lists(parts.reactions(), min_size=len(parts.RULES), max_size=len(parts.RULES)))
    def begin(self, some: list[Reaction]) -> None:
        for id, reaction in zip(parts.RULES, some, strict=True):
            self.put_rule(id, reaction)

    @rule(some=st.lists(st.tuples(parts.types, parts.subjects, parts.numbers), min_size=1, max_size=3))
    def publish(self, some: list[tuple[str, str, int]]) -> None:
        events = [conftest.event(type=type, subject=subject, data={"n": n}) for type, subject, n in some]
        results = self.call("BatchPublishEvents", pb.BatchPublishEventsRequest(events=events, wait=True)).results
        assert not any(result.duplicate for result in results)
        self.published += events
        self.happened(self.model.publish([Event(type, subject, text({"n": n})) for type, subject, n in some]))

    @rule(type=parts.types, n=parts.numbers)
    def publish_about_nothing(self, type: str, n: int) -> None:
        self.publish([(type, "", n)])

    @rule(type=st.sampled_from(["l0.a", "l1.a"]), id=parts.subjects, mode=st.sampled_from(["on", "off"]))
    def publish_in_mode(self, type: str, id: str, mode: str) -> None:
        self.merge(id, "mode", mode)
        self.publish([(type, id, 3)])

    @precondition(lambda self: self.published)
    @rule(pick=st.integers(0, 20), other=st.booleans())
    def publish_again(self, pick: int, other: bool) -> None:
        event = pb.Event()
        event.CopyFrom(self.published[pick % len(self.published)])
        if other:
            event.data.struct_value["n"] = 99
        (result,) = self.call("BatchPublishEvents", pb.BatchPublishEventsRequest(events=[event])).results
        assert result.duplicate != other
        if other:
            assert from_status(result.status).reason == "EVENT_ID_REUSED"
        self.happened(Happened())

    @rule(
        id=parts.subjects,
        some=st.lists(parts.writes, min_size=1, max_size=3),
        expected=st.sampled_from([None, None, None, "right", "wrong"]),
        missing=parts.rarely.map(lambda no: not no),
        muted=parts.rarely,
    )
    def update(self, id: str, some: list[Write], expected: str | None, missing: bool, muted: bool) -> None:
        now = self.model.subjects.get(id, Subject()).revision
        revision = {"right": now, "wrong": now + 1}.get(expected or "")
        subject = pb.Subject(name=f"subjects/{id}")
        request = pb.UpdateSubjectRequest(
            subject=subject,
            writes=map(parts.write_pb, some),
            allow_missing=missing,
            muted=muted,
            expected_revision=revision,
        )
        self.answered(
            self.call("UpdateSubject", request), lambda: self.model.update(id, some, revision, missing, muted)
        )

    @rule(id=parts.subjects, property=st.sampled_from(parts.PROPERTIES), value=parts.values)
    def merge(self, id: str, property: str, value: Any) -> None:
        subject = pb.Subject(name=f"subjects/{id}")
        subject.properties[property] = None
        subject.properties.fields[property].CopyFrom(to_value(value))
        write = Write(property, "delete" if value is None else "set", value)
        request = pb.UpdateSubjectRequest(subject=subject, allow_missing=True)
        self.answered(self.call("UpdateSubject", request), lambda: self.model.update(id, [write], None, True, False))

    @precondition(lambda self: len(self.sent) % 3 == 0)
    @rule(id=parts.subjects, missing=st.booleans(), muted=parts.rarely)
    def delete(self, id: str, missing: bool, muted: bool) -> None:
        request = pb.DeleteSubjectRequest(name=f"subjects/{id}", allow_missing=missing, muted=muted)
        self.answered(self.call("DeleteSubject", request), lambda: self.model.delete(id, missing, muted))

    @rule(id=st.sampled_from(parts.RULES), reaction=parts.reactions())
    def put_rule(self, id: str, reaction: Reaction) -> None:
        fields = parts.rule_fields(id, reaction)
        request = pb.UpdateRuleRequest(rule=fields, allow_missing=True, update_mask=FieldMask(paths=["*"]))
        assert self.call("UpdateRule", request).name == f"rules/{id}"
        self.model.rules[id] = reaction

    @precondition(lambda self: self.model.rules)
    @rule(pick=st.integers(0, 20))
    def drop_rule(self, pick: int) -> None:
        id = sorted(self.model.rules)[pick % len(self.model.rules)]
        self.call("DeleteRule", pb.DeleteRuleRequest(name=f"rules/{id}"))
        del self.model.rules[id]

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(0, 20))
    def repeat(self, pick: int) -> None:
        method, request, answer = self.sent[-1 - pick % len(self.sent)]
        assert self.wait(getattr(self.t.s.rules, method)(request)) == answer
        self.happened(Happened())

    def answered(self, answer: Any, expected: Callable[[], Happened]) -> None:
        """Checks the answer of a change, and what the change has led to."""
        refused, happened = "", Happened()
        try:
            happened = expected()
        except Refused as error:
            refused = error.reason
        assert (answer if isinstance(answer, str) else "") == refused
        self.happened(happened)

    def happened(self, expected: Happened) -> None:
        """Waits until all is quiet, and compares what is new with what the model says."""
        events, executions = self.wait(wait_until(self._new, 30))
        self.seen |= {one.name for one in (*events, *executions)}
        assert Counter(map(parts.event_of, events)) == expected.events
        states = [
            (
                one.rule.removeprefix("rules/"),
                kinds[one.event],
                pb.Execution.State.Name(one.state).removeprefix("STATE_"),
            )
            for kinds in [{event.name: event.type for event in events}]
            for one in executions
        ]
        assert Counter(states) == expected.executions
        failed = sum(state == "FAILED" for _, _, state in states)
        assert len([one for one in executions if one.dead_letter]) == failed
        cascades = [self.wait(self.t.cascade(event.name)) for event in events if not event.parent_execution]
        assert all(cascade.complete for cascade in cascades)
        assert sum(cascade.event_count for cascade in cascades) == len(events)
        assert sum(cascade.execution_count for cascade in cascades) == len(executions)
        assert any(cascade.state == pb.Cascade.STATE_FAILED for cascade in cascades) == bool(failed)
        self.reached.update(f"execution {state}" for _, _, state in states)
        self.reached.update(f"event {event.type}" for event in events)

    async def _new(self) -> tuple[list[pb.Event], list[pb.Execution]] | None:
        executions = await self.t.executions(page_size=1000, order_by="create_time desc")
        new = [one for one in executions if one.name not in self.seen]
        if not all(one.HasField("end_time") for one in new):
            return None
        request = pb.ListEventsRequest(view=pb.EVENT_VIEW_FULL, order_by="create_time desc", page_size=1000)
        events = (await self.t.s.rules.ListEvents(request)).events
        return [one for one in events if one.name not in self.seen], new

    @invariant()
    def the_subjects_are_the_same(self) -> None:
        for id in parts.SUBJECTS:
            try:
                found = self.wait(self.t.s.rules.GetSubject(pb.GetSubjectRequest(name=f"subjects/{id}")))
            except NotFound:
                assert id not in self.model.subjects
                continue
            there = [from_struct(found.properties), from_struct(found.ext_properties), found.revision]
            expected = self.model.subjects[id]
            assert text(there) == text([expected.properties, expected.ext, expected.revision])


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def machine(loop: asyncio.AbstractEventLoop, server: Server) -> type[Machine]:
    return type("RuleMachine", (Machine,), {"loop": loop, "server": server, "reached": Counter()})


def bounds(examples: int, steps: int, *, repeatable: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=repeatable,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,) if repeatable else (Phase.generate, Phase.shrink),
    )


@on_both
@pytest.mark.timeout(180)
def test_the_service_does_as_the_model_says(loop: asyncio.AbstractEventLoop, server: Server) -> None:
    examples = 8 if server.engine == "sqlite" else 3
    run_state_machine_as_test(machine(loop, server), settings=bounds(examples, 30, repeatable=True))


@on_both
@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_the_service_does_as_the_model_says_for_long(loop: asyncio.AbstractEventLoop, server: Server) -> None:
    number = int(os.environ.get("SEED") or random.randrange(10**6))
    print(f"SEED={number}")
    examples = int(os.environ.get("EXAMPLES") or 150)
    made = machine(loop, server)
    run = bounds(examples if server.engine == "sqlite" else max(1, examples // 4), 60, repeatable=False)
    run_state_machine_as_test(seed(number)(made), settings=run)
    for what, times in sorted(made.reached.items()):
        print(f"{what:44} {times:6}")
