import pytest
from google.rpc import code_pb2, error_details_pb2

from tests.e2e.gateway.calls import GETS, WAYS, Get, Way
from tests.e2e.gateway.stack import Stack

everyone = pytest.mark.parametrize("get", GETS, ids=str)
all_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@everyone
@all_ways
def test_a_call_reaches_its_service(plain: Stack, get: Get, way: Way) -> None:
    answer = way(plain, get, "a", {"x-correlation-id": f"id-{get.area}"})
    assert answer.status.code == code_pb2.OK
    assert answer.message.name == get.name.format("a")
    assert answer.headers["x-correlation-id"] == f"id-{get.area}"


@everyone
@all_ways
def test_the_services_error_arrives_whole(plain: Stack, get: Get, way: Way) -> None:
    answer = way(plain, get, "absent", {})
    assert answer.reason() == (code_pb2.NOT_FOUND, "NOT_FOUND", get.domain)
    assert answer.info().metadata == {"resource": get.name.format("absent")}
    assert answer.http in (0, 200, 404)


@everyone
@all_ways
def test_a_broken_rule_names_the_field(plain: Stack, get: Get, way: Way) -> None:
    answer = way(plain, get, "-7", {})
    assert answer.reason() == (code_pb2.INVALID_ARGUMENT, "FIELD_INVALID", get.domain)
    bad = error_details_pb2.BadRequest()
    assert answer.status.details[1].Unpack(bad)
    assert [violation.field for violation in bad.field_violations] == ["name"]


@all_ways
def test_a_call_without_a_correlation_id_gets_one(plain: Stack, way: Way) -> None:
    get = GETS[0]
    given = way(plain, get, "anonymous", {}).headers["x-correlation-id"]
    noted = [line["correlation"] for line in plain.journal() if line["what"].endswith("/anonymous")]
    assert given == noted[-1]
