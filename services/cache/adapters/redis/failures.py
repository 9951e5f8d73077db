"""What the errors of Redis mean for callers. Hosts and keys stay in the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from redis import exceptions
from sutler.errors import DataLoss, Exhausted, Unavailable

log = structlog.get_logger("sutler.cache")

RETRY_AFTER = timedelta(seconds=1)
UNFIT_RETRY_AFTER = timedelta(seconds=30)
_REFUSED = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
_PASSING = {
    "READONLY": "it is a replica",
    "MISCONF": "it cannot write its files",
    "NOREPLICAS": "too few replicas",
    "MASTERDOWN": "no primary",
    "CLUSTERDOWN": "the cluster is down",
    "BUSY": "busy with a script",
}
"""Answers of a server that may get well, by their first word."""


@contextmanager
def told() -> Iterator[None]:
    """Turns an error of Redis into the one that a caller is told.

    Raises:
        Exhausted: If its memory is full (STORAGE_FULL).
        Unavailable: If it does not answer, or cannot do it now (STORAGE_UNAVAILABLE).
        DataLoss: If something else is under the keys of the store.
    """
    try:
        yield
    except exceptions.OutOfMemoryError as error:
        raise Exhausted(
            "the memory of Redis is full, and nothing was changed: the operator must make room; then repeat",
            reason="STORAGE_FULL",
            retry_after=RETRY_AFTER,
        ) from error
    except _REFUSED as error:
        raise _unavailable("access refused", error) from error
    except (exceptions.TimeoutError, TimeoutError) as error:
        raise _unavailable("no answer in time", error) from error
    except (exceptions.ConnectionError, exceptions.RedisClusterException, OSError) as error:
        raise _unavailable("no connection", error) from error
    except exceptions.RedisError as error:
        word = _first_word(error)
        if word == "WRONGTYPE":
            raise damaged() from error
        if word not in _PASSING:
            raise
        raise _unavailable(_PASSING[word], error) from error


def damaged() -> DataLoss:
    """Returns the error for keys that are not as the store left them."""
    return DataLoss(
        "the data of the cache in Redis is damaged: another program uses its keys, or Redis lost some; "
        "the operator must set another prefix, or restore it",
        reason="STORAGE_UNAVAILABLE",
    )


def unfit(what: str, found: str, remedy: str) -> Unavailable:
    """Returns the error for a server that would lose data or cannot do the work.

    Args:
        what: The setting that is wrong.
        found: Its value.
        remedy: What the operator must do.
    """
    return Unavailable(
        f"Redis cannot be used with {what} {found}: {remedy}",
        reason="STORAGE_UNAVAILABLE",
        metadata={"setting": what, "value": found},
        retry_after=UNFIT_RETRY_AFTER,
    )


def _unavailable(cause: str, error: Exception) -> Unavailable:
    log.warning("cache.redis_failed", cause=cause, error=str(error))
    return Unavailable(
        f"Redis does not answer ({cause}); try again",
        reason="STORAGE_UNAVAILABLE",
        metadata={"cause": cause},
        retry_after=RETRY_AFTER,
    )


def _first_word(error: Exception) -> str:
    """Returns the code of an answer; redis-py takes it away where it has a class for it."""
    if isinstance(error, exceptions.ReadOnlyError):
        return "READONLY"
    if isinstance(error, exceptions.MasterDownError):
        return "MASTERDOWN"
    if isinstance(error, exceptions.ClusterDownError):
        return "CLUSTERDOWN"
    return str(error).partition(" ")[0]
