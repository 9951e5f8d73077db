"""What errors of S3 mean for callers. Addresses and keys stay in the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import aiohttp
import structlog
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from sutler.errors import Exhausted, Unavailable

log = structlog.get_logger("sutler.cache")

RETRY_AFTER = timedelta(seconds=1)
ABSENT = frozenset(("NoSuchKey", "404"))
PAST_THE_END = frozenset(("InvalidRange", "416"))
_FULL = frozenset(("QuotaExceeded", "StorageFull", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507"))


def code_of(error: ClientError) -> str:
    """Returns the code of an answer that is an error; its HTTP status if it has none."""
    told = error.response.get("Error", {}).get("Code")
    return str(told or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "unknown"))


@contextmanager
def told() -> Iterator[None]:
    """Turns an error of the client into the one that a caller is told.

    Raises:
        Exhausted: If there is no room (STORAGE_FULL).
        Unavailable: If S3 does not do it for another cause (STORAGE_UNAVAILABLE).
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        log.warning("cache.s3_refused", code=code, error=str(error))
        if code in _FULL or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 507:
            raise Exhausted(
                "the bucket of blobs is full; nothing was changed", reason="STORAGE_FULL", retry_after=RETRY_AFTER
            ) from error
        raise _unavailable(code) from error
    except (BotoCoreError, HTTPClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("cache.s3_failed", error=str(error))
        raise _unavailable(type(error).__name__) from error


def _unavailable(cause: str) -> Unavailable:
    return Unavailable(
        f"the bucket of blobs does not answer as it should ({cause}); try again",
        reason="STORAGE_UNAVAILABLE",
        metadata={"cause": cause},
        retry_after=RETRY_AFTER,
    )
