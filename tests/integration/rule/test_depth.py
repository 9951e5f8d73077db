"""Data as deep as they may be, and what is made of them."""

from typing import Any

import pytest
from google.protobuf import json_format
from sutler.rule.v1 import rule_pb2 as pb

from tests.integration.rule.conftest import Tenant, emit, event, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


def boxes(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


async def test_data_that_are_as_deep_as_they_may_be_are_shown_wherever_they_go(t: Tenant) -> None:
    await t.rule(
        "r",
        on=["a"],
        when=["has(payload.a) && subject.id == 's'"],
        actions=[{"setProperty": {"property": "p", "value": "${payload.a}"}}, emit("b", data="${payload}")],
    )
    await t.rule("bad", on=["b"], when=["payload.missing && subject.id == 's'"], actions=[emit("c")])
    await t.rule("worse", on=["subject.deleted"], when=["payload.missing"], actions=[emit("c")])
    deep = boxes(20)
    (result,) = await t.publish(event(type="a", subject="s", data=deep))
    cascade = await t.cascade(result.event)
    told = {e.type: json_format.MessageToDict(e.data) for e in cascade.events if e.type != "error.handler_failed"}
    assert told["a"] == told["b"] == deep
    assert told["subject.property.changed"]["new_value"] == deep["a"]
    assert await t.subject("s") == {"p": deep["a"]}
    await t.s.rules.DeleteSubject(pb.DeleteSubjectRequest(name="subjects/s"))
    letters = await eventually(lambda: _all_letters(t, 2))
    for letter in letters:
        whole = await t.s.rules.GetDeadLetter(pb.GetDeadLetterRequest(name=letter.name))
        assert whole.HasField("event_snapshot")
    (deleted,) = await t.events('type = "subject.deleted"')
    assert json_format.MessageToDict(deleted.data)["properties"] == {"p": deep["a"]}


async def _all_letters(t: Tenant, count: int) -> list[pb.DeadLetter]:
    found = await t.letters()
    return found if len(found) == count else []
