"""Diagnostics as messages."""

from __future__ import annotations

from sutler.provider.v1 import provider_pb2 as pb

from services.provider.diagnostics import Diagnostic
from services.provider.wire.times import span, stamp


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
