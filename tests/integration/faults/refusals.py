"""Errors that a service must give, and calls of any method with any bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from sutler.client.calls import FirstStatus, typed
from sutler.errors import Code, SutlerError

from tests.integration.faults.faces import Face


@contextmanager
def refused(face: Face, code: Code, reason: str, *, retry: bool = False, **metadata: str) -> Iterator[None]:
    """Checks that a call fails with an error of this service, and whether that says when to try again."""
    with pytest.raises(SutlerError) as caught:
        yield
    check(face, caught.value, code, reason, **metadata)
    assert (caught.value.retry_after is not None) == retry


def check(face: Face, error: SutlerError, code: Code, reason: str, **metadata: str) -> None:
    """Checks an error, and that it tells nothing of the insides of the service."""
    assert (error.code, error.reason, error.domain) == (code, reason, f"{face.area}.sutler.dev")
    assert metadata.items() <= error.metadata.items()
    told = f"{error.message} {error.metadata}"
    assert not [word for word in ("Traceback", "sqlite", ".db", ".py", "Error(") if word in told]


def methods(face: Face) -> Sequence[MethodDescriptor]:
    """Returns all methods of a service."""
    return list(descriptor_pool.Default().FindServiceByName(face.service).methods)


async def refusal(
    channel: grpc.aio.Channel, method: MethodDescriptor, data: bytes, headers: Mapping[str, str] | None = None
) -> SutlerError:
    """Sends bytes as the request, or as the only message of a request stream, and returns what the call ends with."""
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(channel, kind)(f"/{method.containing_service.full_name}/{method.name}")
    try:
        answer = call([data] if method.client_streaming else data, metadata=list((headers or {}).items()), timeout=20)
        if method.client_streaming:
            answer._cython_call = FirstStatus(answer._cython_call)
        if method.server_streaming:
            async for _ in answer:
                pass
        else:
            await answer
    except grpc.aio.AioRpcError as error:
        return typed(error)
    raise AssertionError(f"{method.full_name} has taken it")
