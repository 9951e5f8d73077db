"""Whether a server can be trusted with a cache."""

from __future__ import annotations

from collections.abc import Mapping

from services.cache.adapters.redis.failures import unfit

OLDEST = 7
"""The first version whose scripts say what they may do; Valkey tells the version of Redis that it is like."""


def parsed(info: bytes) -> Mapping[str, str]:
    """Returns the answer to INFO as names and values."""
    lines = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def check_server(info: Mapping[str, str]) -> None:
    """Checks version and settings.

    Raises:
        Unavailable: If it is older than 7, or would drop keys when its memory is full.
    """
    version = info.get("redis_version", "")
    if int(version.partition(".")[0] or 0) < OLDEST:
        raise unfit("redis_version", version, f"version {OLDEST} or newer is needed")
    policy = info.get("maxmemory_policy", "")
    if policy != "noeviction":
        raise unfit(
            "maxmemory-policy",
            policy,
            "it would drop parts of entries when its memory is full; set maxmemory-policy noeviction",
        )


def survives_restart(info: Mapping[str, str]) -> bool:
    """Returns whether the server logs each change to a file (appendonly yes)."""
    return info.get("aof_enabled") == "1"
