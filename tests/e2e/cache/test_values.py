"""What the gateway could spoil: keys of any kind in a query, large values, long waits, conditions in headers."""

import hashlib
from collections.abc import Iterator

import httpx
import pytest
from sutler.cache.v1 import cache_pb2 as pb

from tests.e2e.cache.test_every_rpc import MIB, SERVICE, put
from tests.e2e.ways import WAYS, Caller

pytestmark = pytest.mark.xdist_group("e2e-cache")

KEYS = [
    "a b",
    "a+b",
    "a%2Fb",
    "../../etc/passwd",
    "?x=1&y=2#z",
    '"\\',
    "ключ/鍵/🔑",
    "\x00\x01\n",
    "k" * 1024,
    "é" * 512,
]


@pytest.fixture(scope="module")
def cache(gateway_address: str) -> str:
    call = Caller(gateway_address, SERVICE, "grpc")
    return str(call("CreateCache", pb.CreateCacheRequest(cache_id="values", cache=pb.Cache())).name)


@pytest.fixture
def http(gateway_address: str, cache: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{gateway_address}/v1/{cache}", timeout=30) as client:
        yield client


@pytest.mark.parametrize("put_by", WAYS)
def test_any_key_is_the_same_key_by_grpc_and_by_rest(gateway_address: str, cache: str, put_by: str) -> None:
    calls = {way: Caller(gateway_address, SERVICE, way) for way in WAYS}
    for number, key in enumerate(KEYS):
        value = f"{put_by} {number}".encode()
        put(calls[put_by], cache, key, value)
        for call in calls.values():
            got = call("GetEntry", pb.GetEntryRequest(cache=cache, key=key))
            assert (got.key, got.inline_value) == (key, value)
    for call in calls.values():
        listed = call("ListEntries", pb.ListEntriesRequest(cache=cache, page_size=1000)).entries
        assert set(KEYS) <= {entry.key for entry in listed}


def test_a_large_value_passes_in_both_directions(gateway_address: str, cache: str, http: httpx.Client) -> None:
    """Larger than any buffer of the gateway."""
    call, piece, count = Caller(gateway_address, SERVICE, "grpc"), bytes(range(256)) * (MIB // 256), 24
    digest = hashlib.sha256(piece * count).hexdigest()
    header = pb.WriteBlobRequest(header=pb.WriteBlobHeader(cache=cache, key="large"))
    trailer = pb.WriteBlobRequest(trailer=pb.WriteBlobTrailer(size_bytes=count * MIB, sha256=digest))
    stored = call("WriteBlob", [header, *[pb.WriteBlobRequest(data=piece)] * count, trailer])
    assert stored.size_bytes == count * MIB
    read = hashlib.sha256()
    with call.stream("ReadBlob", pb.ReadBlobRequest(cache=cache, key="large")) as answers:
        for message in answers:
            read.update(message.data)
    assert message.complete and read.hexdigest() == digest
    downloaded = hashlib.sha256()
    with http.stream("GET", "/blobs:download", params={"key": "large"}) as answer:
        assert answer.headers["content-type"] == "application/octet-stream"
        for part in answer.iter_bytes():
            downloaded.update(part)
    assert downloaded.hexdigest() == digest


def test_if_match_protects_caches_and_entries(gateway_address: str, cache: str, http: httpx.Client) -> None:
    call = Caller(gateway_address, SERVICE, "grpc")
    entry = put(call, cache, "matched")
    for header, status in (('"stale"', 409), (entry.etag, 200), ("*", 200)):
        touched = http.post("/entries:touch", json={"key": "matched"}, headers={"if-match": header})
        assert touched.status_code == status, touched.text
    rules = http.get("").json()
    for header, status in (('"stale"', 409), (rules["etag"], 200)):
        changed = http.patch("", json={"displayName": "x"}, headers={"if-match": header})
        assert changed.status_code == status, changed.text
