from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from sutler import errors
from sutler.errors import BY_CODE, TABLE, Code, SutlerError, Violation
from sutler.status import from_status, to_status
from sutler.trailers import MAX_MESSAGE_BYTES, MAX_STATUS_BYTES, sendable
from sutler.type.v1.error_reason_pb2 import ErrorReason

KINDS = sorted(TABLE, key=lambda kind: kind.__name__)
EVERY_DETAIL: dict[str, Any] = {
    "reason": "SOMETHING_ELSE",
    "metadata": {"field": "size", "resource": "caches/a"},
    "resource": "caches/a",
    "violations": [
        Violation("size", "is too large", "TOO_LARGE"),
        Violation('tags["é"]', "is empty", "EMPTY"),
    ],
    "retry_after": timedelta(seconds=3, microseconds=250_000),
    "domain": "cache.sutler.dev",
}


def unpacked(status: Status) -> dict[str, Any]:
    """Returns the details of a status by the names of their messages; each may stand in it once."""
    found: dict[str, Any] = {}
    for packed in status.details:
        name = packed.TypeName().removeprefix("google.rpc.")
        assert name not in found
        message: Message = getattr(details, name)()
        assert packed.Unpack(message)
        found[name] = message
    return found


def seen(error: SutlerError) -> dict[str, Any]:
    return {
        "kind": type(error),
        "code": error.code,
        "message": error.message,
        **{name: getattr(error, name) for name in EVERY_DETAIL},
    }


@pytest.mark.parametrize("kind", KINDS)
class TestRoundTrip:
    def test_with_every_detail(self, kind: type[SutlerError]) -> None:
        error = kind("it is so", **EVERY_DETAIL)
        expected = seen(error)
        if error.code is Code.RESOURCE_EXHAUSTED:  # QuotaFailure has no place for a reason
            expected["violations"] = tuple(Violation(v.field, v.description) for v in error.violations)
        assert seen(from_status(to_status(error, "other.sutler.dev", "c-1"))) == expected

    def test_with_none(self, kind: type[SutlerError]) -> None:
        status = to_status(kind("it is so"), "cache.sutler.dev")
        assert list(unpacked(status)) == ["ErrorInfo"]
        error = from_status(status)
        assert seen(error) == seen(kind("it is so", domain="cache.sutler.dev"))
        assert error.reason == TABLE[kind][1]


class TestDetails:
    def test_each_stands_once_beside_exactly_one_error_info(self) -> None:
        found = unpacked(to_status(errors.Invalid("x", **EVERY_DETAIL), "cache.sutler.dev", "c-1"))
        assert set(found) == {"ErrorInfo", "BadRequest", "ResourceInfo", "RetryInfo", "RequestInfo"}
        assert found["RequestInfo"].request_id == "c-1"

    @pytest.mark.parametrize(
        ("kind", "detail"),
        [
            (errors.Invalid, "BadRequest"),
            (errors.FailedPrecondition, "PreconditionFailure"),
            (errors.Exhausted, "QuotaFailure"),
        ],
    )
    def test_violations_become_the_detail_of_their_code(self, kind: type[SutlerError], detail: str) -> None:
        found = unpacked(to_status(kind("x", violations=[Violation("a", "b")]), "cache.sutler.dev"))
        assert detail in found

    def test_a_precondition_without_a_reason_has_that_of_the_error(self) -> None:
        error = errors.FailedPrecondition("x", violations=[Violation("a", "b")])
        failure = unpacked(to_status(error, "cache.sutler.dev"))["PreconditionFailure"]
        assert failure.violations[0].type == "STATE_INVALID"

    def test_domain_is_the_answering_services_unless_the_error_has_one(self) -> None:
        assert unpacked(to_status(errors.NotFound("x"), "cache.sutler.dev"))["ErrorInfo"].domain == "cache.sutler.dev"
        foreign = errors.NotFound("x", domain="rule.sutler.dev")
        assert unpacked(to_status(foreign, "cache.sutler.dev"))["ErrorInfo"].domain == "rule.sutler.dev"


class TestFromStatus:
    @pytest.mark.parametrize("number", range(1, 17))
    def test_every_code_has_a_class(self, number: int) -> None:
        error = from_status(Status(code=number, message="x"))
        assert (int(error.code), BY_CODE[error.code]) == (number, type(error))

    @pytest.mark.parametrize("number", [0, 17, 99, -1])
    def test_a_code_that_nobody_knows_is_unknown(self, number: int) -> None:
        for message in ("", "it is so"):
            error = from_status(Status(code=number, message=message))
            assert (type(error), error.code) == (errors.Unknown, Code.UNKNOWN)
            assert error.message

    def test_details_that_nobody_knows_are_left_out(self) -> None:
        status = to_status(errors.NotFound("x"), "cache.sutler.dev")
        status.details.add(type_url="type.googleapis.com/some.where.Else", value=b"\xff")
        assert from_status(status).reason == "NOT_FOUND"


class TestTable:
    def test_default_reasons_are_values_of_the_contract(self) -> None:
        known = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name}
        assert {reason for _, reason in TABLE.values()} <= known

    def test_every_class_and_every_code_is_in_it_once(self) -> None:
        assert set(TABLE) == set(SutlerError.__subclasses__())
        assert sorted(code for code, _ in TABLE.values()) == sorted(Code)


class TestShortcuts:
    def test_all_broken_rules_are_told_at_once(self) -> None:
        found = [Violation("a", "is wrong"), Violation("b", "is too")]
        error = errors.invalid_fields(found)
        assert error.violations == tuple(found)
        assert error.metadata == {"field": "a"}

    def test_one_rule_of_the_whole_request(self) -> None:
        error = errors.invalid("", "must name one", reason="ONE_NEEDED")
        assert error.violations == (Violation("", "must name one", "ONE_NEEDED"),)
        assert error.reason == "ONE_NEEDED"

    def test_names_stand_in_the_metadata(self) -> None:
        assert errors.not_found("caches/a").metadata == {"resource": "caches/a"}
        assert errors.etag_mismatch("caches/a").metadata == {"resource": "caches/a"}


class TestSendable:
    def invalid(self, count: int, size: int) -> Status:
        found = [Violation(f"rule.actions[{n}].delay", "é" * size, "TOO_LONG") for n in range(count)]
        return to_status(errors.invalid_fields(found), "rule.sutler.dev", "c-1")

    def test_what_fits_stays_as_it_is(self) -> None:
        status = self.invalid(10, 50)
        assert sendable(status) is status

    @pytest.mark.parametrize(("count", "size"), [(100, 60), (100, 5000), (1, 100_000), (3, 2000)])
    def test_what_does_not_fit_is_cut(self, count: int, size: int) -> None:
        status = sendable(self.invalid(count, size))
        assert status.ByteSize() <= MAX_STATUS_BYTES
        assert len(status.message.encode()) <= MAX_MESSAGE_BYTES
        found = unpacked(status)
        listed = len(found["BadRequest"].field_violations)
        assert listed == count or listed >= 20
        omitted = int(found["ErrorInfo"].metadata.get("violations_omitted", "0"))
        assert listed + omitted == count
        assert found["RequestInfo"].request_id == "c-1"
        assert from_status(status).reason == "FIELD_INVALID"

    def test_long_variables_are_cut_too(self) -> None:
        error = errors.NotFound("x" * 9000, metadata={"path": "/" * 9000}, retry_after=timedelta(seconds=1))
        status = sendable(to_status(error, "rule.sutler.dev"))
        assert status.ByteSize() <= MAX_STATUS_BYTES
        assert from_status(status).retry_after == timedelta(seconds=1)
