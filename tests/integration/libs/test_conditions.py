"""If-Match, which every method takes for the etag of its request, or refuses."""

import pytest
from sutler import errors
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler

from tests.integration.libs.dummy import Dummy

NAME = "caches/a"


def update(etag: str = "", **fields: object) -> pb.UpdateCacheRequest:
    return pb.UpdateCacheRequest(cache=pb.Cache(name=NAME, etag=etag), **fields)


async def test_it_stands_where_the_request_has_its_etag(client: Sutler, dummy: Dummy) -> None:
    await client.cache.UpdateCache(update(), metadata={"if-match": '"1"'})
    await client.cache.UpdateCache(update('"1"'), metadata={"if-match": '"1"'})
    await client.cache.UpdateCache(update(), metadata={"if-match": "*"})
    await client.cache.DeleteCache(pb.DeleteCacheRequest(name=NAME), metadata={"if-match": '"2"'})
    read = client.cache.ReadBlob(pb.ReadBlobRequest(cache=NAME, key="k"), metadata={"if-match": '"3"'})
    assert len([part async for part in read]) == 2
    await client.cache.UpdateCache(update('"4"'))
    await client.cache.UpdateCache(update())
    assert dummy.caches.etags == ['"1"', '"1"', "*", '"2"', '"3"', '"4"', ""]


@pytest.mark.parametrize("header", ['W/"1"', '"1", "2"', "1", '"1', ""])
async def test_only_one_strong_etag_is_taken(client: Sutler, dummy: Dummy, header: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await client.cache.UpdateCache(update(), metadata={"if-match": header})
    assert [violation.field for violation in caught.value.violations] == ["if-match"]
    assert not dummy.caches.etags


async def test_what_the_request_denies_is_refused(client: Sutler, dummy: Dummy) -> None:
    for request in (update('"2"'), update(allow_missing=True)):
        with pytest.raises(errors.Invalid):
            await client.cache.UpdateCache(request, metadata={"if-match": '"1"'})
    assert not dummy.caches.etags


async def test_methods_that_cannot_take_it_refuse_it(client: Sutler, dummy: Dummy) -> None:
    create = pb.CreateCacheRequest(cache_id="a", cache=pb.Cache())
    with pytest.raises(errors.Invalid):
        await client.cache.CreateCache(create, metadata={"if-match": '"1"'})
    with pytest.raises(errors.Invalid):
        await client.cache.GetCache(pb.GetCacheRequest(name=NAME), metadata={"if-match": '"1"'})
    with pytest.raises(errors.Invalid):
        await anext(
            client.cache.WatchInvalidations(pb.WatchInvalidationsRequest(cache=NAME), metadata={"if-match": "*"})
        )
    assert not dummy.caches.created
