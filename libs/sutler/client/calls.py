"""Calls with deadlines, request ids, ids of the current call, retries and typed errors, for any generated stub."""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status

from sutler import headers, tracing
from sutler.context import ANONYMOUS, BACKGROUND, current
from sutler.errors import DeadlineExceeded, Internal, SutlerError, Unimplemented
from sutler.resilience import retry
from sutler.status import from_status

UNREADABLE = {"cause": "answer unreadable"}
"""The metadata of the error for an answer that is no message of the method's type."""

NO_METHOD = re.compile(r"$|method not found|unknown (service|method)|the server does not implement", re.IGNORECASE)
"""What the gRPC of Python and Java, Go, Node and C++ (nothing) says of a method that a server does not have."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How calls are made.

    Attributes:
        token: Gives the bearer token of each call, with or without ``Bearer``; none is sent if it gives an empty one.
        tenant: Acts for this tenant; the token's own if empty.
        timeout: Seconds until a call without its own timeout ends; streams have none.
        attempts: How often a call that ends with UNAVAILABLE is made in all. Services that call services use 1: only
            the outermost caller retries.
        behalf: Sends the principal of the current call along; for services only.
        patience: The most seconds that a call waits for its next attempt because an error asks for it.
        address: Where the calls go, for errors.
    """

    token: Callable[[], str] = str
    tenant: str = ""
    timeout: float = 30.0
    attempts: int = 4
    behalf: bool = False
    patience: float = math.inf
    address: str = ""


def metadata(options: CallOptions, extra: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns the headers of one call: token, tenant, correlation id, trace and, for services, the principal."""
    call = current()
    sent = dict(extra)
    token = options.token()
    if token:
        sent.setdefault("authorization", token if token.lower().startswith("bearer ") else f"Bearer {token}")
    if options.tenant:
        sent.setdefault(headers.TENANT, options.tenant)
    if call.correlation_id:
        sent.setdefault(headers.CORRELATION, call.correlation_id)
    if options.behalf and call is not BACKGROUND:
        behind = call.principal.on_behalf_of or call.principal
        if behind is not ANONYMOUS:
            from sutler.auth import encode_principal  # here, so that who only calls does not load what verifies tokens

            sent.setdefault(headers.ON_BEHALF_OF, encode_principal(behind))
        if call.tenant != behind.tenant:
            sent.setdefault(headers.TENANT, call.tenant)
    tracing.inject(call, sent)
    return list(sent.items())


def typed(error: grpc.aio.AioRpcError, method: str = "", address: str = "") -> SutlerError:
    """Returns the domain error that a failed call stands for.

    A stream that a server in between has reset, because the one behind it died in the middle of an answer, is
    UNAVAILABLE and not the INTERNAL that gRPC makes of it. Of the size of a message, and of a method that a server does
    not have, gRPC itself tells in words only.

    Args:
        error: How the call failed.
        method: What was called, ``package.Service/Method``, and
        address: where; to tell of a method that a server does not have.
    """
    trailers = dict(cast(Iterable[tuple[str, Any]], error.trailing_metadata() or ()))
    with suppress(DecodeError, TypeError):  # whatever a server in between has made of it
        status = Status.FromString(trailers[headers.STATUS]) if headers.STATUS in trailers else Status()
        if status.code:
            return from_status(status)
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.INTERNAL and "RST_STREAM" in text:
        code = grpc.StatusCode.UNAVAILABLE
    if code is grpc.StatusCode.UNIMPLEMENTED and address and NO_METHOD.match(text):
        return Unimplemented(
            f"{address} does not serve {method}: name the gateway's address, or that service's own",
            metadata={"address": address, "method": method},
        )
    too_large = code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text
    if too_large:
        text += "; send it in parts, a value of a cache with WriteBlob"
    told = from_status(Status(code=code.value[0], message=text))
    if too_large:
        told.reason = "TOO_LARGE"
    return told


class Stub:
    """Looks like a generated async stub, and calls with :class:`CallOptions`.

    Args:
        stub: The generated stub.
        methods: The service's methods by name.
        options: How calls are made.
    """

    def __init__(self, stub: Any, methods: Mapping[str, MethodDescriptor], options: CallOptions) -> None:
        for name, method in methods.items():
            setattr(self, name, _wrapped(getattr(stub, name), method, options))


def _wrapped(call: Any, method: MethodDescriptor, options: CallOptions) -> Any:
    name = f"{method.containing_service.full_name}/{method.name}"
    takes_id = "request_id" in method.input_type.fields_by_name
    takes = object if method.client_streaming else message_factory.GetMessageClass(method.input_type)

    def checked(request: Any) -> Any:
        """Returns a request; grpc would send an empty one for what cannot be serialised."""
        if not isinstance(request, takes):
            raise TypeError(f"{method.name} takes a {method.input_type.full_name}, not a {type(request).__name__}")
        return request

    def single(
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Any:
        return _single(call, name, checked(request), takes_id, timeout, metadata or {}, options)

    def stream(
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Any]:
        return _stream(call, name, checked(request), timeout, metadata or {}, options)

    return stream if method.server_streaming else single


async def _single(
    call: Any,
    name: str,
    request: Any,
    takes_id: bool,
    timeout: float | None,
    extra: Mapping[str, str],
    options: CallOptions,
) -> Any:
    seconds = options.timeout if timeout is None else timeout
    streaming = isinstance(request, AsyncIterable)
    if takes_id and not streaming and not request.request_id:
        request = _with_id(request)
    ends = time.monotonic() + seconds
    sent = metadata(options, extra)

    async def attempt() -> Any:
        left = ends - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before the call was made")
        try:
            answer = call(request, timeout=left, metadata=sent)
            if streaming:
                answer._cython_call = FirstStatus(answer._cython_call)
            return _readable(await answer)
        except grpc.aio.AioRpcError as error:
            raise typed(error, name, options.address) from error

    if options.attempts == 1 or streaming:
        return await attempt()
    return await retry(attempt, attempts=options.attempts, seconds=seconds, patience=options.patience)


async def _stream(
    call: Any, name: str, request: Any, timeout: float | None, extra: Mapping[str, str], options: CallOptions
) -> AsyncIterator[Any]:
    responses = call(request, timeout=timeout, metadata=metadata(options, extra))
    if not isinstance(request, Message):
        responses._cython_call = FirstStatus(responses._cython_call)
    try:
        async for response in responses:
            yield _readable(response)
    except grpc.aio.AioRpcError as error:
        raise typed(error, name, options.address) from error
    finally:
        responses.cancel()  # a reader that leaves early ends the call at once, not when it is garbage collected


class FirstStatus:
    """A call under grpc.aio that keeps the status which it ended with.

    A server may end a call whose requests are still being sent. Then the request under way fails, and grpc.aio puts
    INTERNAL ("Internal error from Core") in place of what the server has said (``_StreamRequestMixin._write`` in
    ``grpc/aio/_call.py``).
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def set_internal_error(self, text: str) -> None:
        """Tells that sending failed, unless the call has ended already."""
        if not self._call.done():
            self._call.set_internal_error(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _readable(answer: Any) -> Any:
    """Returns an answer; gRPC gives None for one whose bytes are no message of its type."""
    if answer is None:
        raise Internal("the answer is no message of the contract, or is nested too deeply", metadata=UNREADABLE)
    return answer


def _with_id(request: Message) -> Message:
    copy = type(request)()
    copy.CopyFrom(request)
    copy.request_id = str(uuid.uuid4())  # type: ignore[attr-defined]
    return copy
