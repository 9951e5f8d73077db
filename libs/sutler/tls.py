"""Reads certificates and keys, and says plainly which file is not usable."""

from __future__ import annotations

from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sutler.errors import FailedPrecondition
from sutler.settings import ServerSettings


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials:
    """Returns the credentials that ``tls_cert``, ``tls_key`` and ``tls_client_ca`` name.

    Raises:
        FailedPrecondition: If a file cannot be read, or the certificate and the key do not belong together.
    """
    assert settings.tls_cert
    assert settings.tls_key
    certificate, key = read("tls_cert", settings.tls_cert), read("tls_key", settings.tls_key)
    try:
        belongs = (
            x509.load_pem_x509_certificate(certificate).public_key() == load_pem_private_key(key, None).public_key()
        )
    except (ValueError, TypeError) as error:
        raise _unusable("tls_cert or tls_key", settings.tls_cert, "is not in PEM form, or needs a password") from error
    if not belongs:
        raise _unusable("tls_cert", settings.tls_cert, f"is not the certificate of the key {settings.tls_key}")
    client_ca = read("tls_client_ca", settings.tls_client_ca) if settings.tls_client_ca else None
    return grpc.ssl_server_credentials([(key, certificate)], client_ca, require_client_auth=client_ca is not None)


def read(setting: str, path: Path) -> bytes:
    """Returns the content of the file that a setting names.

    Raises:
        FailedPrecondition: If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unusable(setting, path, f"cannot be read: {error.strerror}") from error


def _unusable(setting: str, path: Path, problem: str) -> FailedPrecondition:
    return FailedPrecondition(f"{setting} {path} {problem}", metadata={"setting": setting, "path": str(path)})
