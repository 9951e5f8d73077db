"""Diagnostics as messages."""

from __future__ import annotations

from sutler.provider.v1 import provider_pb2 as pb

from services.provider.diagnostics import Category, Diagnostic, Kind
from services.provider.wire.times import length, span, stamp


def to_message(diagnostic: Diagnostic) -> pb.Diagnostic:
    """Returns a diagnostic as the API shows it."""
    return pb.Diagnostic(
        category=int(diagnostic.category),  # type: ignore[arg-type]
        kind=int(diagnostic.kind),  # type: ignore[arg-type]
        code=diagnostic.code,
        summary=diagnostic.summary,
        provider=diagnostic.provider,
        region=diagnostic.region,
        native_id=diagnostic.native_id,
        field=diagnostic.field,
        count=diagnostic.count,
        first_time=stamp(diagnostic.first_time or None),
        last_time=stamp(diagnostic.last_time or None),
        retry_delay=span(diagnostic.retry_seconds or None),
    )


def from_message(message: pb.Diagnostic) -> Diagnostic:
    """Returns what a plug-in says that went wrong; what it leaves unset is unknown."""
    return Diagnostic(
        category=Category(message.category or Category.UNKNOWN),
        kind=Kind(message.kind or Kind.UNKNOWN),
        code=message.code,
        summary=message.summary,
        provider=message.provider,
        region=message.region,
        native_id=message.native_id,
        field=message.field,
        count=max(1, message.count),
        retry_seconds=length(message, "retry_delay") or 0.0,
    )
