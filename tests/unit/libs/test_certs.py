from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from sutler.certs import Certificates, write_certificates
from sutler.errors import FailedPrecondition
from sutler.settings import ServerSettings
from sutler.tls import read, server_credentials

HOSTS = ["localhost", "127.0.0.1", "::1"]


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return write_certificates(tmp_path / "deep" / "certs", HOSTS)


def handshake(made: Certificates, ca: Path, host: str) -> str:
    """Returns the problem that a strict client has with the server's certificate; empty if it has none."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    client = ssl.create_default_context(cafile=str(ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(ours, server_side=True).close()
        except (ssl.SSLError, OSError):
            ours.close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        client.wrap_socket(theirs, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    finally:
        theirs.close()
        serving.join()
    return ""


@pytest.mark.parametrize("host", HOSTS)
def test_strict_clients_accept_them(made: Certificates, host: str) -> None:
    assert handshake(made, made.ca, host) == ""


def test_for_no_other_host(made: Certificates) -> None:
    assert "mismatch" in handshake(made, made.ca, "example.com").lower()


def test_of_no_other_ca(made: Certificates, tmp_path: Path) -> None:
    other = write_certificates(tmp_path / "other", HOSTS)
    assert handshake(made, other.ca, "localhost")


def test_the_server_is_no_ca(made: Certificates) -> None:
    certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_key_is_the_owners_alone(made: Certificates) -> None:
    assert made.key.stat().st_mode & 0o777 == 0o600


def test_renewal_replaces_all_and_keeps_the_key_private(made: Certificates) -> None:
    before = made.key.read_bytes()
    made.key.chmod(0o644)
    again = write_certificates(made.ca.parent, HOSTS)
    assert again.key.read_bytes() != before
    assert again.key.stat().st_mode & 0o777 == 0o600
    assert handshake(again, again.ca, "localhost") == ""


def test_days(tmp_path: Path) -> None:
    made = write_certificates(tmp_path, HOSTS, days=3)
    for path in (made.ca, made.certificate):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        assert 3 <= (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() / 86_400 < 3.1


class TestServerCredentials:
    def test_good_ones(self, made: Certificates) -> None:
        settings = ServerSettings(tls_cert=made.certificate, tls_key=made.key, tls_client_ca=made.ca)
        assert server_credentials(settings)

    def test_what_is_not_usable_is_named(self, made: Certificates, tmp_path: Path) -> None:
        other = write_certificates(tmp_path / "other", HOSTS)
        rubbish = tmp_path / "rubbish.pem"
        rubbish.write_text("rubbish")
        good = {"tls_cert": made.certificate, "tls_key": made.key}
        for change, word in (
            ({"tls_cert": tmp_path / "none"}, "tls_cert"),
            ({"tls_key": tmp_path / "none"}, "tls_key"),
            ({"tls_key": tmp_path}, "tls_key"),
            ({"tls_client_ca": tmp_path / "none"}, "tls_client_ca"),
            ({"tls_cert": rubbish}, "PEM"),
            ({"tls_key": rubbish}, "PEM"),
            ({"tls_key": other.key}, "not the certificate of the key"),
        ):
            with pytest.raises(FailedPrecondition) as caught:
                server_credentials(ServerSettings(**{**good, **change}))
            assert word in caught.value.message

    def test_file_of_any_setting(self, tmp_path: Path) -> None:
        with pytest.raises(FailedPrecondition) as caught:
            read("neighbour_ca", tmp_path / "none")
        assert caught.value.metadata == {"setting": "neighbour_ca", "path": str(tmp_path / "none")}
