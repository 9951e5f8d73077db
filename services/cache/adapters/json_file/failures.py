"""What goes wrong with a file, as errors that callers see. Paths stay in the log."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import structlog
from sutler.errors import DataLoss, Exhausted, Unavailable

log = structlog.get_logger("sutler.cache")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RETRY_AFTER = timedelta(seconds=1)


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Turns failures of a file into errors.

    Raises:
        Exhausted: If the disk is full (STORAGE_FULL).
        Unavailable: If the file cannot be used.
        DataLoss: If it holds something else.
    """
    try:
        yield
    except OSError as error:
        log.warning("cache.json_file_failed", file=str(file), error=str(error))
        if error.errno in FULL:
            raise Exhausted(
                "the disk of the JSON file is full, and nothing was changed: the operator must make room; then repeat",
                reason="STORAGE_FULL",
                retry_after=RETRY_AFTER,
            ) from error
        raise Unavailable(
            "the JSON file cannot be used; the log has the reason",
            reason="STORAGE_UNAVAILABLE",
            retry_after=RETRY_AFTER,
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.error("cache.json_file_damaged", file=str(file), error=str(error))
        raise DataLoss(
            "the JSON file holds something else than this release writes: mend it, or put it aside",
            reason="STORAGE_UNAVAILABLE",
        ) from error
