"""Signs HTTP requests as Standard Webhooks has it (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydantic import SecretStr
from sutler.allow_lists import allows

PREFIX = "whsec_"
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that the operator has given, and who may use it.

    Attributes:
        key: ``whsec_`` and base64.
        tenants: Patterns of the tenants whose rules may sign with it.
        urls: Patterns of the origins to which it signs, such as ``https://hooks.example.com``.
    """

    key: SecretStr
    tenants: tuple[str, ...] = ("*",)
    urls: tuple[str, ...] = ("http://*:*", "https://*:*")

    def __post_init__(self) -> None:
        """Raises ValueError if it is no key."""
        key_bytes(self.key.get_secret_value())

    def is_for(self, tenant: str) -> bool:
        """Returns whether rules of a tenant may use it."""
        return any(fnmatchcase(tenant, pattern) for pattern in self.tenants)

    def signs(self, origin: str) -> bool:
        """Returns whether requests to an origin may be signed with it."""
        return any(allows(pattern, origin) for pattern in self.urls)


def key_bytes(text: str) -> bytes:
    """Returns the bytes of a key that is written ``whsec_`` and base64.

    Raises:
        ValueError: If it is none, or not 24 to 64 bytes long.
    """
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(PREFIX) or not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(
            f"is not {PREFIX} with the base64 of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes; "
            f'make one with: echo "{PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def signature(key: bytes, id_: str, timestamp: str, body: bytes) -> str:
    """Returns the value of ``webhook-signature``: HMAC-SHA-256 over id, time and body."""
    signed = hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"
