"""Secrets at rest: AES-256-GCM, with keys from the settings or from a file beside the data."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import AfterValidator, SecretStr

from sutler.errors import FailedPrecondition

VERSION = b"\x01"
KEY_BYTES = 32
NAME_BYTES = 8
NONCE_BYTES = 12
_NO_KEY = (
    "is not the base64 of 32 bytes; put the one back that was used so far, or make a new one with: "
    "openssl rand -base64 32"
)


class SecretBox:
    """Encrypts secrets.

    Args:
        keys: 32 bytes each. The first encrypts; all decrypt, so that a key can be changed.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys
        self._ciphers = {_name(key): AESGCM(key) for key in keys}
        self._first = _name(keys[0])

    def derived(self, purpose: str) -> SecretBox:
        """Returns a box for something else, with keys that are made of these: neither opens what the other sealed."""
        return SecretBox([hmac.digest(key, f"sutler\0{purpose}".encode(), "sha256") for key in self._keys])

    def seal(self, secret: str, *, owner: str) -> bytes:
        """Returns version, name of the key, nonce and what was encrypted.

        Args:
            secret: What nobody else shall read.
            owner: What it belongs to: authenticated, so that it cannot be moved elsewhere.
        """
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, secret.encode(), owner.encode())
        return VERSION + self._first + nonce + sealed

    def is_current(self, sealed: bytes) -> bool:
        """Returns whether the first key has sealed this, so that all others can go."""
        return sealed[: 1 + NAME_BYTES] == VERSION + self._first

    def open(self, sealed: bytes, *, owner: str) -> str:
        """Returns the secret.

        Raises:
            ValueError: If no configured key opens it for this owner.
        """
        name, rest = sealed[1 : 1 + NAME_BYTES], sealed[1 + NAME_BYTES :]
        cipher = self._ciphers.get(name)
        if sealed[:1] != VERSION or cipher is None:
            raise ValueError("no configured key has sealed this")
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], owner.encode()).decode()
        except InvalidTag as error:
            raise ValueError("this was changed, or sealed for another owner") from error


def make_box(area: str, keys: str, folder: Path | None) -> SecretBox:
    """Returns the box of a service in a deployment.

    Args:
        area: The service's area, such as ``erp``; names the setting, ``SUTLER_ERP_SECRET_KEYS``, and the file,
            ``erp.key``.
        keys: Base64 of 32 bytes each, with commas between them; empty for a key file.
        folder: Where the key file is, or is made with mode 0600; None if there is no such place.

    Raises:
        FailedPrecondition: If a key is malformed, or none is given and there is no place for a file, or the file cannot
            be made or read.
    """
    setting = f"SUTLER_{area.upper()}_SECRET_KEYS"
    if keys.strip():
        return SecretBox([_decoded(part, setting, setting) for part in _parts(keys)])
    if folder is None:
        raise FailedPrecondition(
            f"secrets need a key: set {setting} to the base64 of 32 random bytes "
            "(openssl rand -base64 32), the same in all replicas",
            metadata={"setting": setting},
        )
    return SecretBox([_from_file(folder / f"{area}.key", setting)])


def data_folder(url: str) -> Path | None:
    """Returns the folder of a SQLite file; None for any other database."""
    scheme, _, rest = url.partition("://")
    return Path(rest[1:]).parent if scheme == "sqlite" and rest != "/:memory:" else None


def _from_file(path: Path, setting: str) -> bytes:
    """Returns the key in a file, which is made once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        return _decoded(path.read_bytes(), str(path), setting)
    except OSError as error:
        raise FailedPrecondition(
            f"the key file {path} cannot be made or read ({error.strerror}): see to its folder, its rights and the "
            f"disk, or set {setting}",
            metadata={"path": str(path)},
        ) from error


def _make(path: Path) -> None:
    """Makes a key file: complete, for its owner only, and on disk before it is used."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # if another process was first, its key counts
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _decoded(text: str | bytes, place: str, setting: str) -> bytes:
    """Returns a key, or raises FailedPrecondition; ``place`` says where it was found."""
    key = _key(text)
    if key is None:
        raise FailedPrecondition(
            f"a key for secrets in {place} {_NO_KEY}", metadata={"setting": setting, "place": place}
        )
    return key


def _parts(keys: str) -> list[str]:
    """Returns keys one by one; a comma alone is no key."""
    return [part for part in keys.split(",") if part.strip()] or [keys]


def _key(text: str | bytes) -> bytes | None:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None


def _usable(keys: SecretStr) -> SecretStr:
    text = keys.get_secret_value()
    if text.strip() and not all(map(_key, _parts(text))):
        raise ValueError(f"a key {_NO_KEY}")
    return keys


SecretKeys = Annotated[SecretStr, AfterValidator(_usable)]
"""A setting with keys as :func:`make_box` takes them, checked at start; may be empty."""


def decoded_keys(keys: SecretStr) -> list[bytes]:
    """Returns the keys of a setting of type :data:`SecretKeys`, 32 bytes each; none if it is empty."""
    text = keys.get_secret_value()
    return [base64.b64decode(part.strip()) for part in _parts(text)] if text.strip() else []


def _name(key: bytes) -> bytes:
    return hashlib.sha256(b"sutler-key\0" + key).digest()[:NAME_BYTES]
