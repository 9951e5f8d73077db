"""Domain errors to ``google.rpc.Status`` and back: the only module that knows both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import google.rpc.error_details_pb2 as error_details_pb2
import google.rpc.status_pb2 as status_pb2
from google.protobuf import any_pb2
from google.protobuf.message import Message

from sutler.errors import BY_CODE, Code, Internal, SutlerError, Violation


def to_status(error: SutlerError, domain: str, correlation_id: str = "") -> status_pb2.Status:
    """Returns the rich status of an error.

    It has exactly one ErrorInfo, then whichever of BadRequest, PreconditionFailure, QuotaFailure, ResourceInfo,
    RetryInfo and RequestInfo the error has something to say in.
    """
    status = status_pb2.Status(code=int(error.code), message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=error.domain or domain, metadata=error.metadata)
    details: list[Message] = [info]
    if error.violations:
        details.append(_violations(error))
    if error.resource:
        details.append(error_details_pb2.ResourceInfo(resource_name=error.resource, description=error.message))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(error.retry_after)
        details.append(retry)
    if correlation_id:
        details.append(error_details_pb2.RequestInfo(request_id=correlation_id))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _violations(error: SutlerError) -> Message:
    if error.code is Code.FAILED_PRECONDITION:
        failure = error_details_pb2.PreconditionFailure()
        for v in error.violations:
            failure.violations.add(type=v.reason or error.reason, subject=v.field, description=v.description)
        return failure
    if error.code is Code.RESOURCE_EXHAUSTED:
        quota = error_details_pb2.QuotaFailure()
        for v in error.violations:
            quota.violations.add(subject=v.field, description=v.description)
        return quota
    bad = error_details_pb2.BadRequest()
    for v in error.violations:
        bad.field_violations.add(field=v.field, description=v.description, reason=v.reason)
    return bad


def from_status(status: status_pb2.Status) -> SutlerError:
    """Returns the domain error that a status stands for; what it does not carry stays empty."""
    code = Code(status.code) if status.code in Code._value2member_map_ else Code.UNKNOWN
    kind = BY_CODE.get(code, Internal)
    fields: dict[str, Any] = {}
    for detail in status.details:
        fields.update(_fields(detail))
    error = kind(status.message or code.name, **fields)
    error.code = code
    return error


def from_stored(status: bytes) -> SutlerError:
    """Returns the domain error that a serialised status stands for."""
    return from_status(status_pb2.Status.FromString(status))


def _fields(detail: any_pb2.Any) -> dict[str, Any]:
    info = error_details_pb2.ErrorInfo()
    if detail.Unpack(info):
        return {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
    bad = error_details_pb2.BadRequest()
    if detail.Unpack(bad):
        return {"violations": [Violation(v.field, v.description, v.reason) for v in bad.field_violations]}
    failure = error_details_pb2.PreconditionFailure()
    if detail.Unpack(failure):
        return {"violations": [Violation(v.subject, v.description, v.type) for v in failure.violations]}
    quota = error_details_pb2.QuotaFailure()
    if detail.Unpack(quota):
        return {"violations": [Violation(v.subject, v.description) for v in quota.violations]}
    resource = error_details_pb2.ResourceInfo()
    if detail.Unpack(resource):
        return {"resource": resource.resource_name}
    retry = error_details_pb2.RetryInfo()
    if detail.Unpack(retry):
        return {
            "retry_after": timedelta(seconds=retry.retry_delay.seconds, microseconds=retry.retry_delay.nanos // 1000)
        }
    return {}
