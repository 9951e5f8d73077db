"""What near caches are told: protobuf to domain and back."""

from __future__ import annotations

from sutler.cache.v1 import cache_pb2 as pb
from sutler.filtering import parse
from sutler.wire import timestamp

from services.cache.listing import INVALIDATIONS
from services.cache.telling import Invalidation, Scope
from services.cache.watching import Told, Watch


def watch_of(request: pb.WatchInvalidationsRequest) -> Watch:
    """Returns what a request of WatchInvalidations watches.

    Raises:
        Invalid: If the filter is wrong (FILTER_INVALID).
    """
    return Watch(request.cache, request.filter.strip(), parse(request.filter, INVALIDATIONS).predicate())


def to_message(told: Told) -> pb.WatchInvalidationsResponse:
    """Returns one message of a watch."""
    return pb.WatchInvalidationsResponse(
        invalidations=map(_invalidation, told.invalidations), resume_token=told.resume_token, reset=told.reset
    )


def _invalidation(told: Invalidation) -> pb.Invalidation:
    message = pb.Invalidation(cause=int(told.cause), etag=told.etag, event_time=timestamp(told.time))  # type: ignore[arg-type]
    if told.scope is Scope.KEY:
        message.key = told.text
    elif told.scope is Scope.TAG:
        message.tag = told.text
    elif told.scope is Scope.PREFIX:
        message.prefix = told.text
    else:
        message.all = True
    return message
