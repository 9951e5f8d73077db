"""A server that speaks like S3, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from pydantic import SecretStr
from sutler.testing import free_port, wait_blocking

from services.cache.adapters.s3 import S3Options
from tests.conformance.store.proxy import Proxy


class HttpProxy(Proxy):
    """A way to a server that can be cut."""

    @property
    def url(self) -> str:
        """Where the server is reached through the proxy."""
        return f"http://127.0.0.1:{self._port}"


@contextmanager
def s3_server() -> Iterator[str]:
    """Yields the address of an empty server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_blocking(lambda: _answers(url), 40)
        yield url
    finally:
        server.kill()
        server.wait()


def new_bucket(url: str) -> S3Options:
    """Makes a bucket and returns what a store in it needs."""
    bucket = f"b{uuid4().hex[:12]}"
    client(url).create_bucket(Bucket=bucket)
    return S3Options(
        bucket=bucket, endpoint_url=url, prefix="some/where", access_key="someone", secret_key=SecretStr("secret")
    )


def client(url: str) -> boto3.client:
    """Returns a client that sees the server as it is."""
    config = Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=5)
    keys = {"aws_access_key_id": "someone", "aws_secret_access_key": "secret"}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=config, **keys)


def _answers(url: str) -> bool:
    try:
        client(url).list_buckets()
    except BotoCoreError:
        return False
    return True
