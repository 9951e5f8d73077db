"""Engines that a test needs from outside. Where one is missing the test is skipped, but fails in CI."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NoReturn
from uuid import uuid4

SERVER = "postgresql://postgres@127.0.0.1:5432"
"""Where PostgreSQL is looked for; ``SUTLER_TEST_POSTGRESQL`` names another server."""

REDIS = "redis://127.0.0.1:6379/0"
"""Where Redis is looked for; ``SUTLER_TEST_REDIS`` names another server."""

NATS = "nats://127.0.0.1:4222"
"""Where NATS with JetStream is looked for; ``SUTLER_TEST_NATS`` names another server."""

CONNECT_SECONDS = 3


def missing(reason: str) -> NoReturn:
    """Skips the test that calls it, or fails it where ``CI=true`` says that nothing may be missing."""
    import pytest

    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def postgresql_database() -> Iterator[str]:
    """Makes a database of its own, yields its URL, and drops it. Without PostgreSQL: see :func:`missing`."""
    server, name = _server(), f"sutler_test_{uuid4().hex[:12]}"
    with _connected(f"{server}/postgres") as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        try:
            yield f"{server}/{name}"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def postgresql_schema(database: str = "") -> Iterator[str]:
    """Yields the URL of a schema of its own, and drops it; cheaper than a database.

    Args:
        database: The URL of the database to use; ``test`` on the server if empty.
    """
    database = database or f"{_server()}/test"
    name = f"t_{uuid4().hex[:12]}"
    with _connected(database) as admin:
        try:
            yield f"{database}?schema={name}"
        finally:
            admin.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def redis_url() -> str:
    """Returns the URL of the Redis that tests use."""
    return os.environ.get("SUTLER_TEST_REDIS", REDIS)


@contextmanager
def redis_prefix() -> Iterator[str]:
    """Yields a prefix of one's own for keys at :func:`redis_url`, and removes what begins with it, in braces or not.

    Without Redis: see :func:`missing`.
    """
    import redis

    prefix = f"test-{uuid4().hex[:12]}"
    with redis.Redis.from_url(redis_url(), socket_connect_timeout=CONNECT_SECONDS) as admin:
        try:
            admin.ping()
        except redis.RedisError as error:
            missing(f"Redis at {redis_url()} does not answer: {error}")
        try:
            yield prefix
        finally:
            for begin in (prefix, f"{{{prefix}}}"):
                for key in admin.scan_iter(match=f"{begin}*", count=1000):
                    admin.unlink(key)


def nats_url() -> str:
    """Returns the URL of the NATS that tests use."""
    return os.environ.get("SUTLER_TEST_NATS", NATS)


@asynccontextmanager
async def nats_names() -> AsyncIterator[str]:
    """Yields what the names of one's own streams begin with, and removes those streams at :func:`nats_url`.

    The same in small letters is for subjects. Without NATS: see :func:`missing`.
    """
    from nats.aio.client import Client
    from nats.errors import Error

    name = f"TEST_{uuid4().hex[:12].upper()}"
    admin = Client()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):  # by itself the client tries for minutes
            await admin.connect(nats_url(), reconnect_time_wait=1, error_cb=_quiet)
            await admin.jetstream().account_info()
    except (Error, OSError, TimeoutError) as error:
        missing(f"NATS at {nats_url()} does not answer, or has no JetStream: {error!r}")
    await admin.close()
    try:
        yield name
    finally:
        admin = Client()
        await admin.connect(nats_url(), connect_timeout=CONNECT_SECONDS)
        js = admin.jetstream()
        for stream in await js.streams_info():
            if str(stream.config.name).startswith(name):
                await js.delete_stream(str(stream.config.name))
        await admin.close()


async def _quiet(error: Exception) -> None:
    """What is wrong is raised too."""


def _server() -> str:
    return os.environ.get("SUTLER_TEST_POSTGRESQL", SERVER)


def _connected(url: str) -> Any:
    import psycopg

    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        missing(f"PostgreSQL at {_server()} does not answer: {error}")
