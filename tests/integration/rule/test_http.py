"""HTTP requests of rules, at a real server."""

import asyncio
import base64
import hmac
import json
import time
from typing import Any

import pytest
from aiohttp import web
from google.protobuf import json_format
from sutler.errors import Invalid, PermissionDenied, SutlerError
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status

from tests.integration.rule.conftest import SIGNING_KEY, Tenant, emit, event, on_both

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = {"maxAttempts": 2, "initialBackoff": "0.01s", "maxBackoff": "0.05s"}


def request(t: Tenant, path: str, **fields: Any) -> dict[str, Any]:
    return {"id": "call", "httpRequest": {"uri": f"{t.server.web.origin}/{t.name}/{path}", **fields}}


@on_both
async def test_a_request_is_made_of_templates_and_its_answer_is_there_for_later_actions(t: Tenant) -> None:
    headers = {"X-Order": "no ${payload.id}", "Accept": "application/json"}
    body = {"order": "${payload.id}", "tags": ["${payload.tag}"]}
    call = request(t, "o/${payload.tag}?q=${payload.tag}", method="METHOD_PUT", headers=headers, json=body)
    said = emit("done", data="${results.call}")
    t.pages.answers = [web.json_response({"number": 9}, status=201, headers={"X-Seen": "yes", "Set-Cookie": "s=1"})]
    await t.rule("r", on=["a"], actions=[call, said])
    await t.publish(event(type="a", data={"id": 7, "tag": "a/../b&c=ö"}))
    execution = await t.in_state("r", "SUCCEEDED")
    (sent,) = t.pages.sent
    assert (sent.method, sent.path) == ("PUT", "o/a%2F..%2Fb%26c%3D%C3%B6?q=a%2F..%2Fb%26c%3D%C3%B6")
    assert (sent.headers["x-order"], sent.headers["content-type"]) == ("no 7", "application/json")
    assert json.loads(sent.body) == {"order": 7, "tags": ["a/../b&c=ö"]}
    assert sent.headers["idempotency-key"] == execution.actions[0].idempotency_key != ""
    (done,) = await t.events('type = "done"')
    answer = json_format.MessageToDict(done.data)
    assert (answer["code"], answer["body"], answer["headers"]["x-seen"]) == (201, {"number": 9}, "yes")
    assert "set-cookie" not in answer["headers"]
    assert json_format.MessageToDict(execution.actions[0].response) == answer


async def test_a_request_is_signed_over_what_is_sent(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[request(t, "x", json={"n": "${payload.n}"}, signingKey="shop")])
    await t.publish(event(type="a", data={"n": 1}))
    (sent,) = t.pages.sent
    key = base64.b64decode(SIGNING_KEY.removeprefix("whsec_"))
    signed = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.body
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert sent.headers["webhook-signature"] == f"v1,{expected}"
    assert sent.headers["webhook-id"] == sent.headers["idempotency-key"]
    assert abs(time.time() - int(sent.headers["webhook-timestamp"])) < 60


async def test_the_event_can_be_sent_as_it_is(t: Tenant) -> None:
    actions = [
        request(t, "s", event="EVENT_MODE_STRUCTURED") | {"id": "one"},
        request(t, "b", event="EVENT_MODE_BINARY", headers={"Content-Type": "of no use"}) | {"id": "two"},
        request(t, "t", text="n is ${payload.n}") | {"id": "three"},
        request(t, "g", method="METHOD_GET") | {"id": "four"},
    ]
    await t.rule("r", on=["a"], actions=actions)
    await t.publish(event("e1", "a", "order/ä", {"n": 1}, extensions={"region": "eu"}))
    structured, binary, text, get = t.pages.sent
    whole = json.loads(structured.body)
    assert structured.headers["content-type"] == "application/cloudevents+json"
    assert (whole["specversion"], whole["id"], whole["subject"], whole["region"]) == ("1.0", "e1", "order/ä", "eu")
    assert whole["data"] == {"n": 1} == json.loads(binary.body)
    assert (binary.headers["ce-id"], binary.headers["ce-subject"]) == ("e1", "order/%C3%A4")
    assert binary.headers["content-type"] == "application/json"
    assert (text.body, text.headers["content-type"]) == (b"n is 1", "text/plain; charset=utf-8")
    assert (get.method, get.body, get.headers.get("content-type")) == ("GET", b"", None)


async def test_who_asks_for_patience_uses_up_no_attempt(t: Tenant) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    codes = [408, 425, 429, 502, 503, 504]
    t.pages.answers = [*(web.Response(status=code) for code in codes), cut]
    t.pages.answers.insert(3, web.Response(status=503, headers={"Retry-After": "1"}))
    await t.rule("r", on=["a"], actions=[request(t, "x", json=1)], retry={**QUICK, "maxAttempts": 1})
    began = time.monotonic()
    await t.publish(event(type="a"))
    execution = await t.in_state("r", "SUCCEEDED")
    assert (len(t.pages.sent), execution.attempts) == (len(codes) + 3, 0)
    assert time.monotonic() - began >= 1
    assert len({sent.headers["idempotency-key"] for sent in t.pages.sent}) == 1


@pytest.mark.parametrize(
    ("status", "code"), [(400, "INVALID_ARGUMENT"), (404, "NOT_FOUND"), (409, "FAILED_PRECONDITION"), (500, "UNKNOWN")]
)
async def test_who_says_no_uses_up_attempts(t: Tenant, status: int, code: str) -> None:
    t.pages.answers = [web.Response(status=status, text="no  such\nthing") for _ in range(9)]
    await t.rule("r", on=["a"], actions=[request(t, "x?secret=1")], retry=QUICK)
    await t.publish(event(type="a"))
    failed = await t.in_state("r", "FAILED")
    error = from_status(failed.last_error)
    assert (len(t.pages.sent), failed.attempts) == (2, 2)
    assert (error.reason, error.code.name, error.metadata["code"]) == ("HTTP_ERROR", code, str(status))
    assert error.metadata["body"] == "no such thing"
    assert "secret" not in error.message


async def test_redirects_are_not_followed(t: Tenant) -> None:
    t.pages.answers = [web.Response(status=302, headers={"Location": "http://10.0.0.1/"})]
    await t.rule("r", on=["a"], actions=[request(t, "x")], retry={"maxAttempts": 1})
    await t.publish(event(type="a"))
    failed = await t.in_state("r", "FAILED")
    assert from_status(failed.last_error).metadata["code"] == "302"


async def test_an_answered_request_is_not_repeated(t: Tenant) -> None:
    t.pages.answers = [web.Response(text="one"), web.Response(status=500)]
    again = request(t, "y", json="${results.call.body}") | {"id": "again"}
    await t.rule("r", on=["a"], actions=[request(t, "x"), again], retry=QUICK)
    await t.publish(event(type="a"))
    await t.in_state("r", "SUCCEEDED")
    assert [sent.path for sent in t.pages.sent] == ["x", "y", "y"]
    assert t.pages.sent[2].body == b'"one"'


async def test_a_large_answer_ends_the_execution_and_is_not_read_to_its_end(t: Tenant) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    t.pages.answers = [endless]
    await t.rule("r", on=["a"], actions=[request(t, "x")], retry=QUICK)
    await t.publish(event(type="a"))
    failed = await t.in_state("r", "FAILED")
    assert (from_status(failed.last_error).reason, len(t.pages.sent)) == ("TOO_LARGE", 1)


async def test_a_slow_answer_ends_at_the_timeout_and_is_asked_for_again(t: Tenant) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    t.pages.answers = [slow]
    retry = {"initialBackoff": "60s", "maxBackoff": "60s"}
    await t.rule("r", on=["a"], actions=[request(t, "x", timeout="0.2s")], retry=retry)
    await t.publish(event(type="a"), wait=False)
    waiting = await t.in_state("r", "WAITING")
    error = from_status(waiting.last_error)
    assert (waiting.attempts, error.code.name) == (0, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize(
    ("fields", "error", "reason", "field"),
    [
        ({"uri": "https://example.com/x"}, PermissionDenied, "ADDRESS_NOT_ALLOWED", ""),
        ({"uri": "http://169.254.169.254/latest"}, PermissionDenied, "ADDRESS_NOT_ALLOWED", ""),
        ({"uri": "http://[::ffff:10.0.0.1]/"}, PermissionDenied, "ADDRESS_NOT_ALLOWED", ""),
        ({"uri": "http://127.0.0.1:1@example.com/"}, Invalid, "TEMPLATE_INVALID", "uri"),
        ({"uri": "http://${payload.host}/"}, Invalid, "TEMPLATE_INVALID", "uri"),
        ({"uri": "http://127.0.0.1:${payload.port}/"}, Invalid, "TEMPLATE_INVALID", "uri"),
        ({"uri": "http://127.0.0.1${payload.more}"}, Invalid, "TEMPLATE_INVALID", "uri"),
        ({"uri": "http://127.0.0.1/${payload."}, Invalid, "TEMPLATE_INVALID", "uri"),
        ({"headers": {"Host": "example.com"}}, Invalid, "FIELD_INVALID", "headers.Host"),
        ({"signingKey": "none"}, Invalid, "FIELD_INVALID", "signing_key"),
        ({"signingKey": "others"}, Invalid, "FIELD_INVALID", "signing_key"),
        ({"signingKey": "elsewhere"}, Invalid, "FIELD_INVALID", "signing_key"),
    ],
)
async def test_what_may_not_be_written(
    t: Tenant, fields: dict[str, Any], error: type[SutlerError], reason: str, field: str
) -> None:
    with pytest.raises(error) as caught:
        await t.rule("r", on=["a"], actions=[{"httpRequest": {"uri": "http://127.0.0.1:1/", **fields}}])
    assert caught.value.reason == reason
    if field:
        assert caught.value.violations[0].field == f"rule.actions[0].http_request.{field}"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"uri": "http://0xa000001:1/"}, "ADDRESS_NOT_ALLOWED"),  # a name that means 10.0.0.1, as any name could
        ({"uri": "http://127.0.0.1:1/a/${payload.up}/b"}, "EXPRESSION_FAILED"),
        ({"uri": "http://127.0.0.1:1/", "headers": {"X": "${payload.lines}"}}, "TEMPLATE_INVALID"),
    ],
)
async def test_what_may_not_be_sent(t: Tenant, fields: dict[str, Any], reason: str) -> None:
    await t.rule("r", on=["a"], actions=[{"httpRequest": fields}])
    await t.publish(event(type="a", data={"up": "..", "lines": "a\r\nEvil: 1"}))
    failed = await t.in_state("r", "FAILED")
    assert (from_status(failed.last_error).reason, failed.attempts) == (reason, 1)


async def test_a_simulation_shows_the_request_and_sends_none(t: Tenant) -> None:
    wanted = request(t, "o/${payload.n}", headers={"X": "${payload.n}"}, json={"n": "${payload.n}"})
    stored = await t.rule("r", on=["a"], actions=[wanted, emit("done", data="${results.call.body}")])
    assert json_format.MessageToDict(stored.actions[0].http_request)["headers"] == {"X": "${payload.n}"}
    answer = await t.s.rules.SimulateEvent(pb.SimulateEventRequest(event=event(type="a", data={"n": 3})))
    call, said = answer.simulations[0].actions
    resolved = json_format.MessageToDict(call.resolved)["httpRequest"]
    assert (resolved["uri"].rpartition("/")[2], resolved["json"], resolved["headers"]) == ("3", {"n": 3}, {"X": "3"})
    assert (call.uncertain, said.uncertain, t.pages.sent) == (False, True, [])
