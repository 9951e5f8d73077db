"""Why a backend cannot be chosen, or cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sutler.errors import (
    DataLoss,
    Invalid,
    Unavailable,
    invalid,
)


class BackendForeignError(Exception):
    """What a backend keeps belongs to another installation: its numbers of caches mean other caches here, and its
    blobs are those of entries that are not known here."""


def backend_unknown(field: str, wanted: str, known: Sequence[str]) -> Invalid:
    """A cache names a backend that is not configured."""
    names = ", ".join(known)
    return invalid(
        field,
        f"no backend {wanted!r} of this kind is configured; there is {names}",
        reason="BACKEND_UNKNOWN",
        metadata={"backend": wanted, "known": names},
    )


def backends_incompatible(metadata: str, blobs: str, cause: str) -> Invalid:
    """Two backends cannot serve one cache together."""
    return invalid(
        "cache.blob_backend",
        f"the metadata backend {metadata!r} and the blob backend {blobs!r} do not go together: {cause}",
        reason="BACKENDS_INCOMPATIBLE",
        metadata={"metadata_backend": metadata, "blob_backend": blobs, "cause": cause},
    )


def backend_limit_exceeded(backend: str, limit: int, max_entries: int) -> Invalid:
    """A backend cannot hold as many entries as a cache may have."""
    return invalid(
        "cache.max_entries",
        f"is {max_entries}, but a cache on {backend!r} may have {limit} entries at most",
        reason="BACKEND_LIMIT_EXCEEDED",
        metadata={"backend": backend, "limit": str(limit), "max_entries": str(max_entries)},
    )


def unreadable(what: str) -> DataLoss:
    """What a backend keeps cannot be read.

    Args:
        what: What it is, such as ``a cache``.
    """
    return DataLoss(
        f"the stored record of {what} cannot be read: restore it, or remove it and run VerifyCache with repair",
        reason="STORAGE_UNAVAILABLE",
        metadata={"what": what},
    )


def backend_unusable(
    backend: str, cause: str, remedy: str = "the log has the reason; it is tried again"
) -> Unavailable:
    """A backend is not open, so nothing can be done in the caches that are on it.

    Args:
        backend: The operator's name for it.
        cause: What is wrong, in a few words that tell nothing about hosts, paths or data.
        remedy: What to do about it.
    """
    return Unavailable(
        f"the backend {backend} cannot be used ({cause}): {remedy}",
        reason="STORAGE_UNAVAILABLE",
        metadata={"backend": backend, "cause": cause},
        retry_after=timedelta(seconds=1),
    )


def backend_foreign(backend: str) -> Unavailable:
    """What a backend keeps belongs to another installation, whose entries would be taken for those of this one."""
    return backend_unusable(
        backend,
        "another installation uses it",
        "the operator must set a prefix, file or schema that only this one uses, or, if the main database of the "
        "other is lost for good, empty this one",
    )


def blobs_foreign(backend: str) -> Unavailable:
    """A place of blobs belongs to another installation, whose blobs nobody here refers to."""
    return backend_unusable(
        backend,
        "another installation uses it",
        "the operator must set a prefix or folder that only this one uses, or, if the main database of the other is "
        "lost for good or has become this one's, remove the object `owner` there",
    )
