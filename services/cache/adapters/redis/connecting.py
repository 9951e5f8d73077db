"""Makes the client of redis-py."""

from __future__ import annotations

from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

from services.cache.adapters.redis.options import RedisOptions

RETRIES = 3
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0

Client: TypeAlias = "Redis | RedisCluster"


def client_of(options: RedisOptions) -> Client:
    """Returns a client that repeats a command without an answer up to three times; connects to nothing yet."""
    given: dict[str, Any] = {
        "username": options.username or None,
        "password": options.password.get_secret_value() if options.password else None,
        "socket_timeout": options.timeout_seconds,
        "socket_connect_timeout": options.timeout_seconds,
        "client_name": "sutler-cache",
    }
    if options.url.startswith("rediss:") and options.ca_file:
        given["ssl_ca_certs"] = str(options.ca_file)
    backoff = ExponentialWithJitterBackoff(base=FIRST_PAUSE_SECONDS, cap=LONGEST_PAUSE_SECONDS)
    kind = RedisCluster if options.cluster else Redis
    return kind.from_url(options.url, retry=Retry(backoff, RETRIES), **given)
