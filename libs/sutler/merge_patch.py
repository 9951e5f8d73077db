"""JSON merge patch (RFC 7396) on open data."""

from __future__ import annotations

from google.protobuf import struct_pb2


def patch_struct(target: struct_pb2.Struct, patch: struct_pb2.Struct) -> None:
    """Merges a patch into an object, in place: null removes a key, objects merge, all else replaces."""
    for key, value in patch.fields.items():
        if value.WhichOneof("kind") in ("null_value", None):
            target.fields.pop(key, None)
        else:
            patch_value(target.fields[key], value)


def patch_value(target: struct_pb2.Value, patch: struct_pb2.Value) -> None:
    """Merges a patch into a value, in place: what is no object replaces it."""
    if patch.WhichOneof("kind") != "struct_value":
        target.CopyFrom(patch)
        return
    # Selects the object; one that is there already stays as it is.
    target.struct_value.SetInParent()
    patch_struct(target.struct_value, patch.struct_value)
