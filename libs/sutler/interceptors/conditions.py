"""Sixth: takes ``If-Match`` for the etag of a request: what HTTP clients send protects them (RFC 9110, 13.1.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from sutler.context import current
from sutler.errors import Invalid, invalid
from sutler.headers import IF_MATCH
from sutler.interceptors.chain import Context, Single, Stream
from sutler.methods import Method

T = TypeVar("T")

_STRONG = re.compile(r'\*|"[^"]*"')


class ConditionInterceptor:
    """Puts the header where the request has its etag, and refuses it where it could only be ignored.

    Etags compare strongly, so a weak one would match nothing. Of several, each would do; a request has room for one.
    """

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response."""
        return _conditioned(method, handler)

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Wraps a handler with many responses."""
        return _conditioned(method, handler)


def _conditioned(method: Method, handler: Callable[[Any, Context], T]) -> Callable[[Any, Context], T]:
    def call(request: Any, context: Context) -> T:
        header = current().headers.get(IF_MATCH)
        return handler(request if header is None else _conditional(method, request, header), context)

    return call if method.area else handler


def _conditional(method: Method, request: Any, header: str | bytes) -> Any:
    """Returns the request with the etag of the header.

    Raises:
        Invalid: If the method has no place for it, the request names another one or need not find anything, or the
            header is not one strong etag or ``*``.
    """
    etag = str(header).strip()
    if not method.etag:
        raise _refused(f"{method.path} takes no If-Match")
    if not _STRONG.fullmatch(etag):
        raise _refused('must be one strong etag in quotes, such as "1f", or *')
    if getattr(request, "allow_missing", False):
        raise _refused("asks for what exists: leave out allow_missing")
    holder = request
    for name in method.etag[:-1]:
        holder = getattr(holder, name)
    sent = getattr(holder, method.etag[-1])
    if sent and sent.strip('"') != etag.strip('"'):
        raise _refused(f"differs from {'.'.join(method.etag)}")
    setattr(holder, method.etag[-1], etag)
    return request


def _refused(description: str) -> Invalid:
    return invalid(IF_MATCH, description)
