from __future__ import annotations

import pytest
from sutler.idempotency import RequestRepeated

from services.cache.caches import Cache
from services.cache.selectors import Selector
from services.cache.telling import Cause, Scope
from tests.conformance.cache.places import Place, once, put, remove, renew


async def told(place: Place, cache: Cache, after: int) -> list[tuple[Scope, str, Cause]]:
    found = await (place.other or place.backend).feed(cache).after(after, 100)
    assert [number for number, _ in found] == list(range(after + 1, after + 1 + len(found)))
    return [(each.scope, each.text, each.cause) for _, each in found]


async def test_nothing_is_told_where_nobody_follows(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "k")
    assert await told(place, cache, 0) == []
    assert await place.backend.feed(cache).bounds() == (0, 0)


async def test_every_change_is_told_in_order(place: Place) -> None:
    cache, other = await place.make(), await place.make()
    await place.backend.follow(cache)
    oldest, start = await place.backend.feed(cache).bounds()
    assert oldest == start > 0
    await place.put(other, "k")
    await place.backend.change(cache, [put("a"), put("b"), renew("a", 500), renew("a", 5), remove("b"), remove("c")])
    marks = await place.backend.select(cache, Selector(prefix="a"), "", 10, living=True)
    await place.backend.discard(cache, marks, expire_only=True, cause=Cause.INVALIDATE)
    await place.backend.discard(cache, marks, expire_only=False)
    scopes = [(Scope.TAG, "t"), (Scope.PREFIX, "p"), (Scope.ALL, "")]
    await place.backend.announce(cache, scopes, Cause.VERIFY)
    expected = [
        (Scope.KEY, "a", Cause.PUT),
        (Scope.KEY, "b", Cause.PUT),
        (Scope.KEY, "a", Cause.TOUCH),
        (Scope.KEY, "b", Cause.DELETE),
        (Scope.KEY, "a", Cause.INVALIDATE),
        *[(scope, text, Cause.VERIFY) for scope, text in scopes],
    ]
    assert await told(place, cache, start) == expected
    assert await told(place, cache, start + 6) == expected[6:]
    assert await place.backend.feed(cache).bounds() == (oldest, start + len(expected))


async def test_a_put_tells_the_etag(place: Place) -> None:
    cache = await place.make()
    await place.backend.follow(cache)
    [stored] = await place.put(cache, "k")
    _, last = await place.backend.feed(cache).bounds()
    [(_, news)] = await place.backend.feed(cache).after(last - 1, 10)
    assert (news.etag, news.time) == (stored.etag, stored.put_time)
    assert place.backend.feed(cache).size(news) >= len("k")


async def test_following_again_hides_no_gap(place: Place) -> None:
    cache = await place.make()
    await place.backend.follow(cache)
    before = await place.backend.feed(cache).bounds()
    await place.backend.follow(cache)
    assert await place.backend.feed(cache).bounds() == before


async def test_feeds_of_caches_are_apart(place: Place) -> None:
    cache, other = await place.make(), await place.make()
    feed = place.backend.feed
    assert feed(cache).identity == feed(cache).identity != feed(other).identity


async def test_an_announcement_is_made_once(place: Place) -> None:
    cache = await place.make()
    await place.backend.follow(cache)
    _, start = await place.backend.feed(cache).bounds()
    answer = once("r", lambda result: str(result).encode())
    await place.backend.announce(cache, [(Scope.ALL, "")], Cause.INVALIDATE, once=answer, result=7)
    with pytest.raises(RequestRepeated) as repeated:
        await place.backend.announce(cache, [(Scope.ALL, "")], Cause.INVALIDATE, once=answer, result=8)
    assert repeated.value.first.answer == b"7"
    assert len(await told(place, cache, start)) == 1
