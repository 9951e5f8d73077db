from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio
from sutler.auth import make_token
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code, PermissionDenied, Unauthenticated
from sutler.server import running

from services.cache.app import app
from tests.integration.cache.calls import Shelf, refused
from tests.integration.cache.places import Place, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of at least thirty-two bytes"
As = Callable[..., AbstractAsyncContextManager[Sutler]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def caller(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[As]:
    """Connects as somebody to a server that asks for tokens."""
    folder: Path = tmp_path_factory.mktemp("tenants")
    settings = settings_of(Place(f"sqlite:///{folder}/cache.db", folder / "blobs"), auth_secret=SECRET)
    async with running(app, settings, "cache") as server:

        def connect_as(tenant: str, *permissions: str) -> AbstractAsyncContextManager[Sutler]:
            token = make_token(SECRET, "user:anna", permissions=permissions or ("*.*.*",), tenant=tenant)
            return connect(server.address, token=token)

        yield connect_as


async def create(client: Sutler, cache_id: str) -> Shelf:
    made = await client.cache.CreateCache(pb.CreateCacheRequest(cache_id=cache_id, cache=pb.Cache()))
    return Shelf(client, made.name)


async def test_tenants_do_not_see_each_other(caller: As) -> None:
    value = b"v" * 100_000
    async with caller("red") as red, caller("blue") as blue:
        mine = await create(red, "shared")
        await mine.put("k", value)
        theirs = Shelf(blue, mine.name)
        assert await theirs.reason("k") == "CACHE_NOT_FOUND"
        with refused(Code.NOT_FOUND, "NOT_FOUND"):
            await blue.cache.DeleteCache(pb.DeleteCacheRequest(name=mine.name, force=True))
        theirs = await create(blue, "shared")
        assert await theirs.reason("k") == "ENTRY_NOT_FOUND"
        assert await theirs.invalidate(all=True) == 0
        await theirs.put("k", value)
        await theirs.delete("k")
        assert (await mine.get("k")).inline_value == value
        for client, tenant in ((red, "red"), (blue, "blue")):
            listed = await client.cache.ListCaches(pb.ListCachesRequest())
            assert [cache.name for cache in listed.caches] == ["caches/shared"], tenant


async def test_a_page_token_is_good_for_its_tenant_only(caller: As) -> None:
    async with caller("pages1") as one, caller("pages2") as two:
        for client in (one, two):
            await create(client, "a")
            await create(client, "b")
        first = await one.cache.ListCaches(pb.ListCachesRequest(page_size=1))
        with refused(Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
            await two.cache.ListCaches(pb.ListCachesRequest(page_token=first.next_page_token))


async def test_what_a_token_does_not_grant_is_refused(caller: As) -> None:
    async with caller("green") as owner, caller("green", "cache.entries.get") as reader:
        shelf = await create(owner, "c")
        await shelf.put("k", b"x")
        mine = Shelf(reader, shelf.name)
        assert (await mine.get("k")).inline_value == b"x"
        for call in (mine.put("k", b"y"), mine.delete("k"), mine.keys(), mine.write("k", b"y"), mine.read("k")):
            with pytest.raises(PermissionDenied) as caught:
                await call
            assert caught.value.reason == "PERMISSION_MISSING"
        assert (await shelf.get("k")).inline_value == b"x"


async def test_a_grant_can_be_for_some_caches_only(caller: As) -> None:
    grants = ("cache.entries.*:caches/mine*", "cache.blobs.*:caches/mine*", "cache.caches.create:caches/mine*")
    async with caller("grey") as owner, caller("grey", *grants) as limited:
        await create(owner, "yours")
        mine = await create(limited, "mine1")
        await mine.put("k", b"x")
        await mine.write("k", b"y")
        yours = Shelf(limited, "caches/yours")
        for call in (yours.put("k", b"x"), yours.write("k", b"x"), yours.get("k"), create(limited, "yours2")):
            with pytest.raises(PermissionDenied):
                await call


async def test_an_update_that_would_create_needs_that_permission(caller: As) -> None:
    request = pb.UpdateCacheRequest(cache=pb.Cache(name="caches/new"), allow_missing=True)
    async with caller("blue") as owner, caller("blue", "cache.caches.update") as limited:
        with pytest.raises(PermissionDenied) as caught:
            await limited.cache.UpdateCache(request)
        assert caught.value.metadata["permission"] == "cache.caches.create"
        assert (await owner.cache.UpdateCache(request)).name == "caches/new"
        assert (await limited.cache.UpdateCache(request)).name == "caches/new"


async def test_nobody_gets_in_without_a_token(tmp_path: Path) -> None:
    settings = settings_of(Place(f"sqlite:///{tmp_path}/cache.db", tmp_path / "blobs"), auth_secret=SECRET)
    async with running(app, settings, "cache") as server, connect(server.address) as stranger:
        with pytest.raises(Unauthenticated) as caught:
            await stranger.cache.ListCaches(pb.ListCachesRequest())
        assert caught.value.reason == "CREDENTIALS_MISSING"
