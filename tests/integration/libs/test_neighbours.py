from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from pydantic_settings import SettingsConfigDict
from sutler.auth import make_token
from sutler.cache.v1 import cache_pb2
from sutler.context import Call, Principal, set_current
from sutler.errors import FailedPrecondition, NotFound, PermissionDenied, Unauthenticated, Unavailable
from sutler.neighbours import TOKEN_SECONDS, is_serving, neighbour, service_token
from sutler.settings import ServerSettings
from sutler.testing import free_port, serve

from tests.integration.libs.conftest import SECRET
from tests.integration.libs.dummy import Dummy, Settings

GET = cache_pb2.GetCacheRequest(name="caches/a")


class Caller(ServerSettings):
    """The service that calls."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_CALLER_")


def caller(**settings: Any) -> Caller:
    return Caller(**settings)


class TestTokens:
    def test_made_from_the_shared_secret(self) -> None:
        give = service_token(caller(auth_secret=SECRET, auth_issuer="i", auth_audience="a"), "rule")
        claims = jwt.decode(give(), SECRET, algorithms=["HS256"], audience="a", issuer="i")
        assert (claims["sub"], claims["service"]) == ("service:rule", True)
        assert claims["exp"] - time.time() > TOKEN_SECONDS

    def test_kept_for_a_while_then_renewed_before_it_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        give = service_token(caller(auth_secret=SECRET), "rule")
        now = time.time()
        first = give()
        monkeypatch.setattr(time, "time", lambda: now + TOKEN_SECONDS - 10)
        assert give() == first
        monkeypatch.setattr(time, "time", lambda: now + TOKEN_SECONDS + 10)
        second = give()
        expires = jwt.decode(first, SECRET, algorithms=["HS256"])["exp"]
        assert second != first
        assert time.time() < expires, "the old one ended before it was renewed"

    def test_the_configured_one(self) -> None:
        assert service_token(caller(auth_secret=SECRET, service_token="mine"), "rule")() == "mine"

    def test_none_without_authentication(self) -> None:
        assert service_token(caller(), "rule")() == ""


async def test_calls_on_behalf_of_whoever_caused_them() -> None:
    settings = caller(auth_secret=SECRET)
    async with (
        serve(Dummy().app, Settings, auth_secret=SECRET) as (_, server),
        neighbour(settings, "rule", server.address) as connection,
    ):
        set_current(Call("/a/B", Principal("user:anna", "acme", ("cache.caches.get",)), "acme"))
        found = await connection.cache.GetCache(GET)
        assert (found.uid, found.etag) == ("acme", "user:anna")
        set_current(Call("/a/B", Principal("user:bob", "acme", ("cache.caches.list",)), "acme"))
        with pytest.raises(PermissionDenied) as caught:
            await connection.cache.GetCache(GET)
        assert caught.value.metadata["principal"] == "user:bob"


async def test_acting_for_another_tenant_goes_along_and_is_checked_again() -> None:
    async with (
        serve(Dummy().app, Settings, auth_secret=SECRET) as (_, server),
        neighbour(caller(auth_secret=SECRET), "rule", server.address) as connection,
    ):
        allowed = Principal("user:anna", "acme", ("cache.caches.get", "cache.tenants.actAs:other"))
        set_current(Call("/a/B", allowed, "other"))
        assert (await connection.cache.GetCache(GET)).uid == "other"
        set_current(Call("/a/B", Principal("user:bob", "acme", ("cache.caches.get", "rule.tenants.actAs")), "other"))
        with pytest.raises(PermissionDenied) as caught:
            await connection.cache.GetCache(GET)
        assert caught.value.metadata["permission"] == "cache.tenants.actAs"


async def test_only_the_outermost_caller_repeats() -> None:
    async with neighbour(caller(), "rule", f"127.0.0.1:{free_port()}") as connection:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await connection.cache.GetCache(GET, timeout=30)
        assert time.monotonic() - started < 10


async def test_errors_keep_the_domain_of_the_service_that_gave_them() -> None:
    async with serve(Dummy().app, Settings) as (_, server), neighbour(caller(), "rule", server.address) as connection:
        with pytest.raises(NotFound) as caught:
            await connection.cache.GetCache(cache_pb2.GetCacheRequest(name="caches/absent"))
        assert caught.value.domain == "dummy.sutler.dev"


async def test_ca_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition):
        async with neighbour(caller(neighbour_ca=tmp_path / "none"), "rule", "127.0.0.1:1"):
            pass


async def test_keys_without_a_token_for_others() -> None:
    settings = caller(auth_jwks="keys.json")
    with pytest.raises(FailedPrecondition) as caught:
        async with neighbour(settings, "rule", "127.0.0.1:1"):
            pass
    assert caught.value.metadata["setting"] == "service_token"


async def test_health_of_a_neighbour() -> None:
    async with serve(Dummy().app, Settings) as (client, server):
        await is_serving(client, "cache")()
        await server.health.drain()
        with pytest.raises(Unavailable) as caught:
            await is_serving(client, "cache")()
        assert caught.value.metadata == {"dependency": "cache"}
    async with neighbour(caller(), "rule", f"127.0.0.1:{free_port()}") as connection:
        with pytest.raises(Unavailable):
            await is_serving(connection, "cache")()


async def test_a_service_token_of_one_installation_is_no_service_in_another() -> None:
    other = make_token("another secret of more than thirty-two bytes", "service:rule", service=True)
    settings = caller(service_token=other)
    async with (
        serve(Dummy().app, Settings, auth_secret=SECRET) as (_, server),
        neighbour(settings, "rule", server.address) as connection,
    ):
        with pytest.raises(Unauthenticated):
            await connection.cache.GetCache(GET)
