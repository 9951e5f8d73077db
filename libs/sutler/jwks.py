"""Signing keys from a JWKS, a file or a URL: cached, refreshed, and read again when a token names a new key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import jwt
import structlog

from sutler.errors import FailedPrecondition, Unauthenticated, Unavailable

log = structlog.get_logger("sutler.jwks")

REFRESH_SECONDS = 300.0
RETRY_SECONDS = 10.0
FETCH_TIMEOUT_SECONDS = 5.0


UNUSABLE = (OSError, jwt.PyJWTError, ValueError, TypeError, AttributeError)
"""What reading a JWKS that is none raises."""


def check_file(path: Path) -> None:
    """Makes sure that a file is a JWKS.

    Raises:
        FailedPrecondition: If it is not, or cannot be read.
    """
    try:
        jwt.PyJWKSet.from_json(path.read_text())
    except UNUSABLE as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no JSON Web Key Set"
        raise FailedPrecondition(
            f"auth_jwks {path} cannot be used ({cause}): name a file with the public keys that sign tokens",
            metadata={"setting": "auth_jwks", "path": str(path)},
        ) from error


class JwksKeys:
    """The keys of one JWKS.

    They are read at first use and, in the background, every 5 minutes. A token with an unknown ``kid`` makes them be
    read again, at most every 10 s. Keys that were read once stay in use while the source does not answer.

    Args:
        source: A file, or an http(s) URL.
        algorithms: The signature algorithms that are accepted.
    """

    def __init__(self, source: Path | str, algorithms: Sequence[str]) -> None:
        self.algorithms = algorithms
        self._source = source
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._failed = False
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, token: str) -> jwt.PyJWK:
        """Returns the key that a token names in its header.

        Raises:
            Unauthenticated: If it names none that is known.
            Unavailable: If the keys have not been read yet and cannot be.
        """
        try:
            kid = str(jwt.get_unverified_header(token).get("kid", ""))
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is not valid: {error}", metadata={"cause": "malformed"}) from error
        if kid not in self._keys:
            await self._refresh()
        elif time.monotonic() - max(self._read_at + REFRESH_SECONDS, self._tried_at + RETRY_SECONDS) > 0:
            self._refreshing = self._refreshing or asyncio.create_task(self._refresh_behind())
        key = self._keys.get(kid)
        if key is None and self._failed:
            raise Unavailable("the signing keys cannot be read; see the server's log", metadata={"dependency": "jwks"})
        if key is None:
            raise Unauthenticated("the token is signed by an unknown key", metadata={"cause": "unknown key"})
        return key

    async def _refresh_behind(self) -> None:
        try:
            await self._refresh()
        finally:
            self._refreshing = None

    async def _refresh(self) -> None:
        async with self._lock:
            if time.monotonic() - self._tried_at < RETRY_SECONDS:
                return
            self._tried_at = time.monotonic()
            try:
                keys = jwt.PyJWKSet.from_json(await self._fetch()).keys
            except (*UNUSABLE, httpx.HTTPError) as error:
                self._failed = True
                log.warning("signing keys not read", problem=str(error) or type(error).__name__)
                return
            self._keys = {key.key_id or "": key for key in keys}
            self._read_at, self._failed = self._tried_at, False

    async def _fetch(self) -> str:
        if isinstance(self._source, Path):
            return await asyncio.to_thread(self._source.read_text)
        async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS) as client:
            answer = await client.get(self._source)
            answer.raise_for_status()
            return answer.text
