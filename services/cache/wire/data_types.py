"""Data types: domain to protobuf."""

from __future__ import annotations

from sutler.cache.v1 import cache_pb2 as pb

from services.cache.data_types import DataType


def to_data_type(found: DataType) -> pb.DataType:
    """Returns a data type as the API shows it."""
    return pb.DataType(
        data_type=found.name,
        description=found.description,
        content_types=found.content_types,
        builtin=found.builtin,
        executable=found.executable,
        entry_count=found.entry_count,
    )
