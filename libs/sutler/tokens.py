"""Opaque tokens that only this installation can make: page tokens, resume tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac

import orjson

TAG_BYTES = 16


class TokenSealer:
    """Makes and opens tokens. A token carries no authority: it says where to go on, not who may.

    Args:
        key: At least 16 secret bytes, the same in all replicas of a service.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the token key has fewer than 16 bytes")
        self._empty = hmac.new(key, digestmod=hashlib.sha256)

    def seal(self, purpose: str, binding: str, value: object) -> str:
        """Returns a token that holds ``value``.

        Args:
            purpose: What the token is for; part of what is authenticated.
            binding: What it belongs to, such as a digest of the request's other arguments; not carried.
            value: JSON-able.
        """
        body = orjson.dumps(value)
        return base64.urlsafe_b64encode(self._tag(purpose, binding, body) + body).decode().rstrip("=")

    def open(self, purpose: str, binding: str, token: str) -> object:
        """Returns the value in a token.

        Raises:
            ValueError: If it was not sealed with this key for this purpose and binding.
        """
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError as error:
            raise ValueError("not a token") from error
        tag, body = raw[:TAG_BYTES], raw[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(purpose, binding, body)):
            raise ValueError("not a token of this server for these arguments")
        value: object = orjson.loads(body)
        return value

    def _tag(self, purpose: str, binding: str, body: bytes) -> bytes:
        digest = self._empty.copy()
        for part in (purpose.encode(), binding.encode(), body):
            digest.update(len(part).to_bytes(4, "big") + part)
        return digest.digest()[:TAG_BYTES]
