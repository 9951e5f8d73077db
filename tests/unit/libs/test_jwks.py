from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from sutler.auth import ASYMMETRIC, Authenticator, make_keys
from sutler.errors import FailedPrecondition, SutlerError, Unauthenticated, Unavailable
from sutler.jwks import JwksKeys
from sutler.testing import wait_until


class Key:
    """A signing key and what others may know of it."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public: dict[str, Any] = {
            **ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True),
            "kid": kid,
            "alg": "ES256",
            "use": "sig",
        }

    def token(self, **headers: Any) -> str:
        claims = {"sub": "user:anna", "exp": int(time.time()) + 3600}
        return jwt.encode(claims, self.private, algorithm="ES256", headers={"kid": self.kid, **headers})


class Source(Protocol):
    """Where a JWKS is published."""

    where: str
    fetched: int

    def publish(self, text: str) -> None: ...

    def lose(self) -> None: ...


class FileSource:
    fetched = 0

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, str(path)

    def publish(self, text: str) -> None:
        self.path.write_text(text)

    def lose(self) -> None:
        self.path.unlink()


class UrlSource:
    """A web server that answers one document."""

    def __init__(self) -> None:
        self.text = ""
        self.fetched = 0
        self.where = ""

    def publish(self, text: str) -> None:
        self.text = text

    def lose(self) -> None:
        self.text = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.fetched += 1
        status = "200 OK" if self.text else "500 Broken"
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(self.text)}\r\n\r\n{self.text}".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def url_source() -> AsyncIterator[UrlSource]:
    source = UrlSource()
    server = await asyncio.start_server(source.answer, "127.0.0.1", 0)
    source.where = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    async with server:
        yield source


@pytest.fixture(params=["file", "url"])
def source(request: pytest.FixtureRequest, tmp_path: Path, url_source: UrlSource) -> Source:
    return url_source if request.param == "url" else FileSource(tmp_path / "jwks.json")


OLD, NEW = Key("old"), Key("new")


def document(*keys: Key) -> str:
    return json.dumps({"keys": [key.public for key in keys]})


def reader(source: Source) -> Authenticator:
    return Authenticator(JwksKeys(source.where if "://" in source.where else Path(source.where), ASYMMETRIC))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a failed or fruitless look at the source not hold the next one back."""
    monkeypatch.setattr("sutler.jwks.RETRY_SECONDS", 0.0)


async def refused(known: Authenticator, token: str) -> SutlerError:
    with pytest.raises((Unauthenticated, Unavailable)) as caught:
        await known.principal(token)
    return caught.value


class TestSources:
    async def test_known_key(self, source: Source) -> None:
        source.publish(document(OLD, NEW))
        known = reader(source)
        for key in (OLD, NEW):
            assert (await known.principal(key.token())).subject == "user:anna"

    async def test_key_that_nobody_published(self, source: Source) -> None:
        source.publish(document(OLD))
        error = await refused(reader(source), NEW.token())
        assert (type(error), error.metadata["cause"]) == (Unauthenticated, "unknown key")

    async def test_token_that_names_a_key_that_did_not_sign_it(self, source: Source) -> None:
        source.publish(document(OLD))
        assert isinstance(await refused(reader(source), NEW.token(kid="old")), Unauthenticated)

    @pytest.mark.usefixtures("impatient")
    async def test_rotation(self, source: Source) -> None:
        source.publish(document(OLD))
        known = reader(source)
        await known.principal(OLD.token())
        source.publish(document(NEW))
        assert await known.principal(NEW.token())
        assert isinstance(await refused(known, OLD.token(jti="fresh")), Unauthenticated)

    @pytest.mark.usefixtures("impatient")
    async def test_outage_keeps_the_old_keys_and_a_new_one_is_unavailable(self, source: Source) -> None:
        source.publish(document(OLD))
        known = reader(source)
        await known.principal(OLD.token())
        source.lose()
        assert isinstance(await refused(known, NEW.token()), Unavailable)
        assert await known.principal(OLD.token(jti="fresh"))
        source.publish(document(NEW))
        assert await known.principal(NEW.token())

    async def test_outage_from_the_start_is_unavailable_however_often_one_asks(self, source: Source) -> None:
        known = reader(source)
        for _ in range(2):
            error = await refused(known, OLD.token())
            assert (type(error), error.metadata) == (Unavailable, {"dependency": "jwks"})
            assert source.where not in error.message

    @pytest.mark.parametrize("text", ["", "x", "[]", "null", "{}", '{"keys": [1]}', '{"keys": [{"kty": "?"}]}'])
    async def test_document_that_is_none(self, source: Source, text: str) -> None:
        source.publish(text)
        assert isinstance(await refused(reader(source), OLD.token()), Unavailable)


class TestRefetching:
    async def test_unknown_keys_cause_one_look_in_10_s(self, url_source: UrlSource) -> None:
        url_source.publish(document(OLD))
        known = reader(url_source)
        await known.principal(OLD.token())
        for number in range(20):
            await refused(known, NEW.token(kid=f"x{number}"))
        assert url_source.fetched == 1

    @pytest.mark.usefixtures("impatient")
    async def test_after_that_they_cause_another(self, url_source: UrlSource) -> None:
        url_source.publish(document(OLD))
        known = reader(url_source)
        for number in range(3):
            await refused(known, NEW.token(kid=f"x{number}"))
        assert url_source.fetched == 3

    async def test_100_concurrent_calls_cause_one(self, url_source: UrlSource) -> None:
        url_source.publish(document(OLD))
        known = reader(url_source)
        await asyncio.gather(*(known.principal(OLD.token(jti=str(number))) for number in range(100)))
        assert url_source.fetched == 1

    async def test_old_keys_are_read_again_behind_the_calls(
        self, url_source: UrlSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url_source.publish(document(OLD))
        known = reader(url_source)
        await known.principal(OLD.token())
        monkeypatch.setattr("sutler.jwks.REFRESH_SECONDS", 0.0)
        monkeypatch.setattr("sutler.jwks.RETRY_SECONDS", 0.0)
        url_source.publish(document(NEW))
        assert await known.principal(OLD.token(jti="fresh")), "the call waited for the source"
        await wait_until(lambda: url_source.fetched >= 2)
        await wait_until(lambda: known._keys._refreshing is None)  # type: ignore[attr-defined]
        monkeypatch.setattr("sutler.jwks.RETRY_SECONDS", 10.0)
        assert isinstance(await refused(known, OLD.token(jti="fresher")), Unauthenticated)


class TestAttacks:
    """A public key is public: it must not work as a shared secret, and no algorithm is none."""

    async def test_public_key_as_a_shared_secret(self, tmp_path: Path) -> None:
        (tmp_path / "jwks.json").write_text(document(OLD))
        public = OLD.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        claims = {"sub": "user:anna", "exp": int(time.time()) + 60}
        parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "old"}, claims)]
        forged = b".".join((*parts, _encoded(hmac.digest(public, b".".join(parts), "sha256")))).decode()
        assert isinstance(await refused(reader(FileSource(tmp_path / "jwks.json")), forged), Unauthenticated)

    async def test_no_algorithm(self, tmp_path: Path) -> None:
        (tmp_path / "jwks.json").write_text(document(OLD))
        claims = {"sub": "user:anna", "exp": int(time.time()) + 60}
        forged = jwt.encode(claims, None, algorithm="none", headers={"kid": "old"})
        assert isinstance(await refused(reader(FileSource(tmp_path / "jwks.json")), forged), Unauthenticated)


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "no JSON", '{"keys": 1}'])
def test_a_file_that_is_no_jwks_is_refused_at_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FailedPrecondition) as caught:
        make_keys(jwks=str(path))
    assert caught.value.metadata == {"setting": "auth_jwks", "path": str(path)}
