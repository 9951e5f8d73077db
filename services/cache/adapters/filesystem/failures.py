"""What the operating system's errors mean for callers. Paths stay in the log."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sutler.errors import Exhausted, Unavailable

log = structlog.get_logger("sutler.cache")

RETRY_AFTER = timedelta(seconds=1)
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@contextmanager
def told() -> Iterator[None]:
    """Turns an OSError into the error that a caller is told.

    Raises:
        Exhausted: If there is no room (STORAGE_FULL).
        Unavailable: If the file system does not do it for another cause (STORAGE_UNAVAILABLE).
    """
    try:
        yield
    except OSError as error:
        log.warning("cache.blob_folder_failed", error=str(error))
        if error.errno in _FULL:
            raise Exhausted(
                "the disk of blobs is full; nothing was changed", reason="STORAGE_FULL", retry_after=RETRY_AFTER
            ) from error
        cause = errno.errorcode.get(error.errno or 0, "unknown")
        raise Unavailable(
            f"the folder of blobs does not answer ({cause}); try again",
            reason="STORAGE_UNAVAILABLE",
            metadata={"cause": cause},
            retry_after=RETRY_AFTER,
        ) from error
