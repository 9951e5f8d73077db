"""Ids: new ones, and those that follow from another so that every hop repeats under the same key."""

from __future__ import annotations

import hashlib
import uuid

NAMESPACE = uuid.UUID("5d1f6a8e-3c0b-4f6e-9a53-7e2c8b1d4f90")
"""The namespace of all ids that Sutler derives. Fixed for ever: repeated work is recognised by it."""


def new_id() -> str:
    """Returns a new random UUID (version 4)."""
    return str(uuid.uuid4())


def derive(parent_id: str, step: str) -> str:
    """Returns the id of one step of the work that ``parent_id`` names.

    The same two arguments give the same id in every process and release, so a hop that is repeated after a crash
    carries the key of the first attempt.

    Args:
        parent_id: The id of the work that causes the step, such as an event id or a ``request_id``.
        step: What is done for it, such as ``rules/provision/actions/0``; unique among the steps of one parent.

    Returns:
        The UUID (version 5, in :data:`NAMESPACE`) of the two, joined by U+0000, which neither may contain.
    """
    # As uuid.uuid5 makes it, in a fifth of the time: every step of a cascade derives several.
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + f"{parent_id}\0{step}".encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"
