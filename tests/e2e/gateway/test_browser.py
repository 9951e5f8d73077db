"""What web pages may do: those of this machine everything, all others nothing."""

import httpx
import pytest
from google.rpc import code_pb2

from tests.e2e.gateway.answers import Answer, rest_error
from tests.e2e.gateway.calls import CACHE, by_grpc_web, by_rest, client
from tests.e2e.gateway.stack import Stack

LOCAL = ["http://localhost:3000", "http://127.0.0.1:5173", "https://localhost", "http://[::1]:8000"]
FOREIGN = ["https://example.com", "http://localhost.example.com", "http://localhost:3000.example.com", "null"]


def preflight(stack: Stack, origin: str, path: str = CACHE.method) -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web,authorization",
    }
    with client(stack) as made:
        return made.options(f"{stack.url}{path}", headers=asked)


@pytest.mark.parametrize("origin", LOCAL)
def test_a_page_of_this_machine_may_ask(plain: Stack, origin: str) -> None:
    for path in (CACHE.method, "/v1/caches/a"):
        answer = preflight(plain, origin, path)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert {"x-grpc-web", "authorization", "if-match"} <= set(
            answer.headers["access-control-allow-headers"].split(",")
        )
        assert "PATCH" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_machine_may_not(plain: Stack, origin: str) -> None:
    answer = preflight(plain, origin)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_call_that_browsers_make_without_asking_does_not_run(plain: Stack, origin: str) -> None:
    with client(plain) as made:
        answer = made.post(
            f"{plain.url}/v1/caches?cacheId=drive-by",
            content="{}",
            headers={"origin": origin, "content-type": "text/plain"},
        )
    assert Answer(rest_error(answer)).reason() == (code_pb2.PERMISSION_DENIED, "NOT_ALLOWED", "gateway.sutler.dev")
    assert not plain.noted("caches/drive-by")


def test_a_page_sees_errors_and_ids(plain: Stack) -> None:
    for call in (by_grpc_web, by_rest):
        answer = call(plain, CACHE, "absent", {"origin": LOCAL[0]})
        assert answer.status.code == code_pb2.NOT_FOUND
        exposed = answer.headers["access-control-expose-headers"].split(",")
        assert {"grpc-status", "grpc-status-details-bin", "x-correlation-id"} <= set(exposed)


def test_a_page_sees_the_errors_of_the_gateway(plain: Stack) -> None:
    with client(plain) as made:
        unknown = made.get(f"{plain.url}/v1/nothing", headers={"origin": LOCAL[0]})
        connect = made.post(f"{plain.url}{CACHE.method}", json={}, headers={"origin": LOCAL[0]})
    for answer, reason in ((unknown, "PATH_UNKNOWN"), (connect, "CONTENT_TYPE_UNSUPPORTED")):
        assert answer.headers["access-control-allow-origin"] == LOCAL[0]
        assert Answer(rest_error(answer)).info().reason == reason


def test_a_name_that_somebody_points_at_this_machine_is_refused(plain: Stack) -> None:
    with client(plain) as made:
        answer = made.get(f"{plain.url}/v1/caches/rebound", headers={"host": f"rebind.example.com:{plain.port}"})
        assert Answer(rest_error(answer)).reason() == (code_pb2.PERMISSION_DENIED, "NOT_ALLOWED", "gateway.sutler.dev")
        assert made.get(f"http://localhost:{plain.port}/v1/caches/local").status_code == 200
    assert not plain.noted("caches/rebound")


def test_the_admin_page_shows_and_changes_nothing_else(plain: Stack) -> None:
    admin = f"http://127.0.0.1:{plain.admin_port}"
    assert httpx.get(f"{admin}/stats/prometheus").status_code == 200
    for path in (
        "/quitquitquit",
        "/logging?level=debug",
        "/healthcheck/fail",
        "/drain_listeners",
        "/runtime_modify?a=1",
    ):
        assert httpx.post(f"{admin}{path}").status_code == 403
    assert httpx.get(f"{admin}/config_dump").status_code == 403
