import base64
import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.rpc import code_pb2

from tests.e2e.gateway.answers import Answer, rest_error
from tests.e2e.gateway.calls import CACHE, by_grpc, by_rest, client
from tests.e2e.gateway.stack import Stack
from tests.e2e.gateway.standins import BLOB

GATEWAY = "gateway.sutler.dev"
MIB = 1024 * 1024


@pytest.fixture
def http(plain: Stack) -> Iterator[httpx.Client]:
    with client(plain) as made:
        made.base_url = httpx.URL(plain.url)
        yield made


def refusal(answer: httpx.Response) -> tuple[int, tuple[int, str, str]]:
    return answer.status_code, Answer(rest_error(answer)).reason()


class TestBadInput:
    malformed = 400, (code_pb2.INVALID_ARGUMENT, "REQUEST_MALFORMED", GATEWAY)

    def test_unknown_path(self, http: httpx.Client) -> None:
        unknown = 404, (code_pb2.UNIMPLEMENTED, "PATH_UNKNOWN", GATEWAY)
        assert refusal(http.get("/v1/nothing")) == unknown
        assert refusal(http.delete("/v1/caches")) == unknown
        assert refusal(http.get("/")) == unknown
        assert refusal(http.get("/v2/caches")) == unknown

    def test_unknown_enum_value(self, http: httpx.Client) -> None:
        answer = http.patch("/v1/caches/a", json={"eviction": "EVICTION_BY_LOT"})
        assert refusal(answer) == self.malformed
        assert "EVICTION_BY_LOT" in answer.json()["message"]

    def test_wrong_type(self, http: httpx.Client) -> None:
        assert refusal(http.patch("/v1/caches/a", json={"sliding": "perhaps"})) == self.malformed
        assert refusal(http.get("/v1/connections/c/records/sale.order/seven")) == self.malformed

    def test_unknown_query_parameter(self, http: httpx.Client) -> None:
        answer = http.get("/v1/caches/a", params={"colour": "red"})
        assert refusal(answer) == self.malformed
        assert "colour" in answer.json()["message"]

    def test_malformed_json(self, http: httpx.Client) -> None:
        for body in ('{"displayName": ', "displayName", "[1, 2]", '{"displayName": "a"} trailing'):
            answer = http.patch("/v1/caches/a", content=body, headers={"content-type": "application/json"})
            assert refusal(answer) == self.malformed, body

    def test_a_body_without_content_type_is_read_as_json(self, http: httpx.Client) -> None:
        assert http.patch("/v1/caches/a", content=b'{"displayName": "A"}').json()["displayName"] == "A"

    def test_unknown_body_fields_are_dropped(self, http: httpx.Client) -> None:
        answer = http.patch("/v1/caches/a", json={"colour": "red", "displayName": "A"})
        assert answer.json() == {"name": "caches/a", "displayName": "A"}

    too_large = 413, (code_pb2.RESOURCE_EXHAUSTED, "TOO_LARGE", GATEWAY)

    @pytest.mark.parametrize("mib", [5, 24])
    def test_body_that_is_too_large(self, http: httpx.Client, mib: int) -> None:
        assert refusal(http.post("/v1/caches/a/entries:batchPut", json=rows(mib))) == self.too_large

    def test_endless_body(self, http: httpx.Client) -> None:
        answer = http.post("/v1/caches/a/entries:batchPut", content=itertools.repeat(b" " * MIB, 150))
        assert refusal(answer) == self.too_large

    @pytest.mark.parametrize("path", ["/v1/x?y=z", '/v1/x?y="z"\\', "/v1/%REQ(authorization)%", "/" + "x" * 999])
    def test_an_unknown_path_is_named(self, plain: Stack, path: str) -> None:
        with socket.create_connection(("127.0.0.1", plain.port)) as raw:
            raw.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            answer = raw.makefile("rb").read()
        info = json.loads(answer.partition(b"\r\n\r\n")[2])["details"][0]
        assert info["reason"] == "PATH_UNKNOWN"
        assert info["metadata"] == {"method": "GET", "path": path[:256]}

    def test_headers_that_are_too_long(self, http: httpx.Client) -> None:
        answer = http.get("/v1/caches/a", headers={"x-long": "x" * 70_000})
        assert refusal(answer) == (431, (code_pb2.INVALID_ARGUMENT, "TOO_LARGE", GATEWAY))

    def test_what_the_release_does_not_offer(self, http: httpx.Client) -> None:
        answer = http.get("/v1/cacheBackends")
        assert refusal(answer) == (501, (code_pb2.UNIMPLEMENTED, "NOT_IMPLEMENTED", "cache.sutler.dev"))

    def test_the_errors_of_the_gateway_carry_the_correlation_id(self, http: httpx.Client) -> None:
        answer = http.get("/v1/nothing", headers={"x-correlation-id": 'with "quotes"'})
        assert answer.headers["x-correlation-id"] == 'with "quotes"'
        assert answer.json()["details"][1]["requestId"] == 'with "quotes"'


class TestOtherProtocols:
    """What speaks no gRPC on a path of gRPC: JSON, Connect."""

    unsupported = 415, (code_pb2.INVALID_ARGUMENT, "CONTENT_TYPE_UNSUPPORTED", GATEWAY)

    @pytest.mark.parametrize("kind", ["application/json", "application/proto", "application/connect+proto", ""])
    @pytest.mark.parametrize(
        "path",
        [CACHE.method, "/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"],
    )
    def test_is_told_what_is_wrong_where_and_what_to_do(self, http: httpx.Client, path: str, kind: str) -> None:
        headers = {"content-type": kind} if kind else {}
        answer = http.post(path, content=b'{"name": "caches/spoken-wrongly"}', headers=headers)
        assert refusal(answer) == self.unsupported
        assert dict(Answer(rest_error(answer)).info().metadata) == {"method": "POST", "path": path}
        assert {path, "/v1/", "grpc"} <= set(answer.json()["message"].replace(",", " ").replace(":", " ").split())

    def test_reaches_no_service(self, plain: Stack, http: httpx.Client) -> None:
        claimed = {"x-envoy-original-path": "/v1/caches/claimed", "content-type": "application/json"}
        assert refusal(http.post(CACHE.method, json={"name": "caches/claimed"})) == self.unsupported
        assert refusal(http.post(CACHE.method, json={"name": "caches/claimed"}, headers=claimed)) == self.unsupported
        assert not plain.noted("caches/claimed")

    def test_is_told_at_once_while_its_body_is_still_open(self, plain: Stack) -> None:
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        with socket.create_connection(("127.0.0.1", plain.port), timeout=5) as raw:
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/connect+proto\r\n"
            raw.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
            assert raw.makefile("rb").readline() == b"HTTP/1.1 415 Unsupported Media Type\r\n"


class TestAccessLog:
    def test_a_rest_call_is_logged_as_it_came_and_as_it_went(self, plain: Stack, http: httpx.Client) -> None:
        http.get("/v1/caches/logged", headers={"x-correlation-id": "logged-rest"})
        line = plain.logged("logged-rest")
        assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/caches/logged", 200)
        assert line["rpc"] == CACHE.method
        assert line["grpc_status"] == "0"

    def test_grpc_statuses_are_logged(self, plain: Stack) -> None:
        for thing, status in (("a", "0"), ("absent", "5")):
            by_grpc(plain, CACHE, thing, {"x-correlation-id": f"logged-{thing}"})
            assert plain.logged(f"logged-{thing}")["grpc_status"] == status


class TestShapes:
    def test_names_with_slashes(self, http: httpx.Client) -> None:
        name = "subscriptions/s/resourceGroups/g/providers/Custom.Org/servers/a"
        assert http.get(f"/v1/resources/{name}").json()["name"] == name

    def test_path_and_query_end_in_fields_of_their_types(self, http: httpx.Client) -> None:
        answer = http.get("/v1/connections/c/records/sale.order/7", params={"fields": ["name", "partner_id.name"]})
        assert answer.json() == {"model": "sale.order", "id": "7", "displayName": "name,partner_id.name"}

    def test_patch_without_mask(self, http: httpx.Client) -> None:
        assert http.patch("/v1/caches/a", json={"maxEntries": "5"}).json() == {"name": "caches/a", "maxEntries": "5"}

    def test_patch_with_mask_in_camel_case_arrives_in_snake_case(self, http: httpx.Client) -> None:
        answer = http.patch("/v1/caches/a", params={"updateMask": "displayName,maxEntries"}, json={"maxEntries": 5})
        assert answer.json()["uid"] == "display_name,max_entries"

    def test_raw_bodies(self, plain: Stack, http: httpx.Client) -> None:
        sent = http.post(
            "/v1/events:publish", content=b"{any}", headers={"content-type": "application/cloudevents+json"}
        )
        assert sent.status_code == 200
        assert plain.noted("application/cloudevents+json b'{any}'")

    def test_raw_answers(self, http: httpx.Client) -> None:
        answer = http.get("/v1/caches/a/blobs:download", params={"key": "k"})
        assert answer.headers["content-type"] == "application/vnd.apache.parquet"
        assert answer.content == BLOB + BLOB

    def test_messages_of_nearly_4_mib_pass_in_both_directions(self, http: httpx.Client) -> None:
        sent = rows(3.9)
        answer = http.post("/v1/caches/a/entries:batchPut", json=sent)
        assert [r["entry"]["inlineValue"] for r in answer.json()["results"]] == [
            r["entry"]["inlineValue"] for r in sent["rows"]
        ]
        assert len(answer.content) > 5 * MIB


class TestStreams:
    def test_lines_of_json(self, http: httpx.Client) -> None:
        answer = http.get("/v1/caches/a/blobs:read", params={"key": "k"})
        assert answer.headers["content-type"] == "application/json"
        assert [json.loads(line) for line in answer.text.splitlines()] == [
            {"data": base64.b64encode(b"one").decode()},
            {"data": base64.b64encode(b"two").decode(), "complete": True},
        ]

    def test_server_sent_events(self, http: httpx.Client) -> None:
        answer = http.get("/v1/caches/a/blobs:read", params={"key": "k"}, headers={"accept": "text/event-stream"})
        assert answer.headers["content-type"] == "text/event-stream"
        assert [json.loads(event) for event in events(answer.text)][1]["complete"]

    def test_an_error_before_the_first_message_is_an_error(self, http: httpx.Client) -> None:
        for accept in ("application/json", "text/event-stream"):
            answer = http.get("/v1/caches/absent/blobs:read", params={"key": "k"}, headers={"accept": accept})
            assert refusal(answer) == (404, (code_pb2.NOT_FOUND, "NOT_FOUND", "cache.sutler.dev"))

    def test_a_watch_says_in_its_last_message_why_it_ends(self, http: httpx.Client) -> None:
        for accept, parse in (("application/json", str.splitlines), ("text/event-stream", events)):
            answer = http.get("/v1/caches/a/invalidations:watch", headers={"accept": accept})
            assert answer.status_code == 200
            messages = [json.loads(part) for part in parse(answer.text)]
            assert [m.get("resumeToken") for m in messages] == ["first", "second", None]
            status = messages[-1]["status"]
            assert (status["code"], status["details"][0]["reason"]) == (code_pb2.UNAVAILABLE, "SHUTTING_DOWN")

    def test_messages_arrive_as_they_are_sent(self, http: httpx.Client) -> None:
        with http.stream("GET", "/v1/caches/endless/invalidations:watch") as answer:
            lines = answer.iter_lines()
            assert [json.loads(next(lines))["resumeToken"] for _ in range(3)] == ["first", "0", "1"]

    def test_unary_calls_that_accept_events_get_json(self, plain: Stack) -> None:
        assert by_rest(plain, CACHE, "a", {"accept": "text/event-stream"}).message.name == "caches/a"


def rows(mib: float) -> dict[str, list[dict[str, Any]]]:
    """Returns a batch of entries, so large as a message."""
    value = base64.b64encode(b"v" * (MIB // 2)).decode()
    count, rest = divmod(int(mib * MIB), MIB // 2)
    values = [value] * count + [base64.b64encode(b"v" * rest).decode()]
    return {"rows": [{"key": f"k{i}", "entry": {"inlineValue": value}} for i, value in enumerate(values)]}


def events(text: str) -> list[str]:
    """Returns the data of server-sent events."""
    return [block.removeprefix("data: ") for block in text.strip().split("\n\n")]
