"""NATS: accepted events are carried once and in order, work goes to who has room, and an outage loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sutler.certs import write_certificates
from sutler.client import connect
from sutler.errors import Unavailable
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import Runtime, running

from services.rule.app import app
from tests.integration.rule.conftest import (
    NATS,
    SECRET,
    SERVING,
    Server,
    Tenant,
    create,
    database_url,
    emit,
    engine_settings,
    event,
    eventually,
    health,
    settings_for,
    token,
)
from tests.integration.rule.nats_server import NatsServer, carried, jetstream, messages, settled
from tests.integration.rule.target import Target, serving
from tests.integration.rule.test_background import Instruments

COUNT = {"setProperty": {"property": "n", "expression": "old == null ? 1 : old + 1", "muted": True}}


@asynccontextmanager
async def replica(url: str, target: str = "", **more: object) -> AsyncIterator[Tenant]:
    """A process of an installation, and a caller of it."""
    async with (
        running(app, settings_for(url, target, **more), "rule") as up,
        connect(up.address, token=token("t"), attempts=1) as s,
    ):
        yield Tenant("t", s, Server(up.address, NATS, url, target, Target()))


async def has_nats(t: Tenant) -> bool:
    return await health(t.server.address, "neighbour.nats") == SERVING


@pytest.mark.timeout(120)
async def test_events_are_carried_and_work_goes_to_who_has_room(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url, more = await enter(database_url(NATS, tmp_path)), await enter(engine_settings(NATS))
        stream = str(more["nats_stream"])
        target = Target()
        address = await enter(serving(target, SECRET))
        one = await enter(replica(url, address, concurrency=2, **more))
        two = await enter(replica(url, address, concurrency=2, **more))
        js = await enter(jetstream(str(more["nats_url"])))
        await eventually(lambda: has_nats(one))
        await eventually(lambda: has_nats(two))
        script = target.scripts["t"]
        script.gate.clear()
        await one.rule("r", on=["big.**"], actions=[create("${payload.n}"), emit("told", subject="x")])
        # One process accepts all; with room for two in each, four are under way only if the other has got some.
        data = [{"n": f"n{n}", "text": "x" * (1_047_000 if n == 3 else 1)} for n in range(6)]
        for n, one_data in enumerate(data):
            await one.publish(event(f"e{n}", "big.order", f"s/{n}", one_data), wait=False)
        await eventually(lambda: _is(len(script.calls) == 4))
        script.gate.set()

        async def told() -> list[dict[str, Any]]:
            found = await carried(js, stream)
            return found if len(found) == 12 else []

        found = await eventually(told)
        assert {e["id"] for e in found} == {e.id for e in await one.events()}
        orders = [e for e in found if e["type"] == "big.order"]
        assert [e.get("data", {}).get("n") for e in orders] == ["n0", "n1", "n2", None, "n4", "n5"]
        # What is too large for a message is there without its data, with its name here.
        assert orders[3]["dataref"] == next(e.name for e in await one.events() if e.id == "e3")
        assert sorted(script.ids) == [d["n"] for d in data]
        first = (await messages(js, stream))[0]
        assert first.subject == f"{more['nats_prefix']}.t.big.order"
        assert first.headers is not None
        assert first.headers["Content-Type"] == "application/cloudevents+json"
        assert found[0]["specversion"] == "1.0"
        assert found[0]["subject"] == "s/0"
        await eventually(lambda: settled(js, stream, "workers"))
        # A stream that is lost is filled again with what is kept, in the same order.
        await js.delete_stream(stream)
        await one.publish(event("after", "none"), wait=False)

        async def whole() -> bool:
            return [e["id"] for e in await carried(js, stream)] == [*(e["id"] for e in found), "after"]

        await eventually(whole)


@pytest.mark.timeout(120)
async def test_without_nats_events_are_refused_and_with_it_all_goes_on(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    more: dict[str, object] = {"engine": "nats", "nats_url": server.url, "nats_stream": "LOG", "nats_prefix": "log"}
    async with database_url(NATS, tmp_path) as url, replica(url, **more) as t:
        try:
            await t.rule("r", on=["a"], actions=[COUNT, emit("b")])
            assert await health(t.server.address, "neighbour.nats") != SERVING
            assert await health(t.server.address, "") == SERVING
            await refused(t)
            await server.start()
            await eventually(lambda: accepts(t))
            await server.kill()
            await eventually(lambda: refuses(t))
            # What is no event from outside goes on meanwhile, and is carried later.
            writes = [pb.PropertyWrite(property="p", increment=1)]
            await t.s.rules.UpdateSubject(
                pb.UpdateSubjectRequest(subject=pb.Subject(name="subjects/x"), writes=writes, allow_missing=True)
            )
            await server.start()
            await eventually(lambda: accepts(t))
            async with jetstream(server.url) as js:

                async def whole() -> bool:
                    accepted = await t.events()
                    ids = [e["id"] for e in await carried(js, "LOG")]
                    if len(ids) != len(set(ids)) or set(ids) != {e.id for e in accepted}:
                        return False
                    executions = await t.executions()
                    if not all(x.state == pb.Execution.STATE_SUCCEEDED for x in executions):
                        return False
                    return bool((await t.subject("s"))["n"] == sum(e.type == "a" for e in accepted))

                await eventually(whole)
        finally:
            await server.kill()


@pytest.mark.timeout(60)
async def test_a_server_is_trusted_by_the_authority_that_the_operator_names(tmp_path: Path) -> None:
    ours, others = (write_certificates(tmp_path / name, ["127.0.0.1"]) for name in ("ours", "others"))
    server = NatsServer(tmp_path, ours)
    await server.start()
    try:
        more: dict[str, object] = {"engine": "nats", "nats_url": server.url, "nats_stream": "TLS", "nats_prefix": "tls"}
        async with database_url(NATS, tmp_path) as url:
            async with replica(url, **more, nats_ca=others.ca) as t:
                await refused(t)
            async with replica(url, **more, nats_ca=ours.ca) as t:
                await eventually(lambda: accepts(t))
    finally:
        await server.kill()


async def refused(t: Tenant) -> None:
    with pytest.raises(Unavailable) as caught:
        await t.publish(event(type="a", subject="s"), wait=False)
    assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"
    assert caught.value.metadata["dependency"] == "nats"
    assert caught.value.retry_after is not None


async def refuses(t: Tenant) -> bool:
    return not await accepts(t)


async def accepts(t: Tenant) -> bool:
    try:
        await t.publish(event(type="a", subject="s"), wait=False)
    except Unavailable:
        return False
    return True


def structured(id: str, **more: Any) -> bytes:
    return json.dumps({"specversion": "1.0", "id": id, "source": "/shop", "type": "a", "subject": "s", **more}).encode()


@pytest.mark.timeout(120)
async def test_subjects_of_nats_are_sources(tmp_path: Path) -> None:
    """On SQLite too: a source needs no engine of NATS."""
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(engine_settings(NATS))
        subject = f"{str(names['nats_stream']).lower()}.shop"
        more = {
            "nats_url": names["nats_url"],
            "nats_stream": names["nats_stream"],
            "nats_sources": [{"name": "shop", "subject": f"{subject}.>", "tenant": "t"}],
        }
        t = await stack.enter_async_context(replica(f"sqlite:///{tmp_path}/rule.db", **more))
        js = await stack.enter_async_context(jetstream(str(names["nats_url"])))
        seen = {"setProperty": {"property": "seen", "expression": "old == null ? [event.id] : old + [event.id]"}}
        await t.rule("r", on=["a"], actions=[seen])
        stream = f"{names['nats_stream']}_shop"
        await eventually(lambda: _has(js, stream))
        sent: list[tuple[bytes, dict[str, str]]] = [
            (structured("1", data={"n": 1}, colour="red"), {}),
            (b"no json at all \xff", {}),
            (b'{"n": 2}', {"ce-specversion": "1.0", "ce-id": "2", "ce-source": "/shop", "ce-type": "a",
                           "ce-subject": "s", "ce-colour": "dark%20red", "Content-Type": "application/json"}),
            (structured("1", data={"n": "other"}), {}),
            (structured("1", data={"n": 1}, colour="red"), {}),
            (structured("", type=7), {"Content-Type": "application/cloudevents+json"}),
            (b"\x00\x01", {"CE-SpecVersion": "1.0", "CE-Id": "3", "CE-Source": "/shop", "CE-Type": "a",
                           "CE-Subject": "s", "content-type": "image/png"}),
            (b"{", {"ce-specversion": "1.0", "ce-id": "x", "ce-source": "/shop", "ce-type": "a",
                    "content-type": "application/json"}),
            (structured("4"), {}),
        ]  # fmt: skip
        for body, headers in sent:
            await js.publish(f"{subject}.orders", body, headers=headers)
        await eventually(lambda: settled(js, stream, f"{names['nats_stream']}-shop"))

        async def done() -> bool:
            return (await t.subject("s")).get("seen") == ["1", "2", "3", "4"]

        await eventually(done)
        by_id = {e.id: e for e in await t.events('type = "a"')}
        assert by_id["1"].extensions == {"colour": "red"}
        assert by_id["2"].data.struct_value["n"] == 2
        assert by_id["2"].extensions == {"colour": "dark red"}
        assert by_id["3"].binary_data == b"\x00\x01"
        assert by_id["3"].datacontenttype == "image/png"
        assert by_id["4"].principal == "source:shop"
        refusals = [e.data.struct_value for e in await t.events('type = "error.validation_failed"')]
        told = {r["origin"]["sequence"]: r["error"]["reason"] for r in refusals}
        assert told == {"2": "EVENT_INVALID", "4": "EVENT_ID_REUSED", "6": "EVENT_INVALID", "8": "EVENT_INVALID"}
        reused = next(r for r in refusals if r["error"]["reason"] == "EVENT_ID_REUSED")
        assert (reused["event"]["id"], reused["event"]["data"]["n"]) == ("1", "other")
        assert reused["origin"]["subject"] == f"{subject}.orders"
        assert reused["origin"]["sequence"] == "4"
        assert next(r for r in refusals if len(r["violations"]))["violations"][0]["reason"] == "EVENT_INVALID"


async def test_a_source_that_cannot_be_used_is_told_and_then_recovers(tmp_path: Path) -> None:
    runtime: Any = Runtime(asyncio.Event(), Instruments())  # type: ignore[arg-type]
    async with engine_settings(NATS) as names, jetstream(str(names["nats_url"])) as js:
        stream = f"{names['nats_stream']}_A"
        subjects = f"{names['nats_prefix']}.>"
        settings = settings_for(
            f"sqlite:///{tmp_path}/rule.db",
            nats_url=names["nats_url"],
            nats_stream=names["nats_stream"],
            nats_sources=[{"name": "a", "subject": subjects, "stream": stream}],
        )
        async with app(settings, runtime) as service:

            async def problem() -> str:
                try:
                    await service.neighbours["nats"]()
                except Unavailable as error:
                    return str(error)
                return ""

            await eventually(lambda: _holds(problem, "source a"))
            await js.add_stream(name=stream, subjects=[subjects])
            await eventually(lambda: _holds(problem, ""))


async def _holds(problem: Callable[[], Awaitable[str]], text: str) -> bool:
    found = await problem()
    return text in found if text else not found


async def _has(js: Any, stream: str) -> bool:
    return stream in [info.config.name for info in await js.streams_info()]


async def _is(value: bool) -> bool:
    await asyncio.sleep(0)
    return value
