"""Every RPC of CacheService through a real Envoy, by gRPC and by REST: answers."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from google.rpc import error_details_pb2
from sutler.cache.v1 import cache_pb2 as pb
from sutler.testing import wait_blocking
from sutler.type.v1 import operation_pb2
from sutler.wire import to_struct

from tests.e2e.ways import WAYS, Caller

SERVICE = pb.DESCRIPTOR.services_by_name["CacheService"]
MIB = 1 << 20

pytestmark = pytest.mark.xdist_group("e2e-cache")


@pytest.mark.parametrize("way", WAYS)
def test_every_rpc(gateway_address: str, way: str) -> None:
    call = Caller(gateway_address, SERVICE, way)
    name = caches_work(call)
    entries_work(call, name)
    batches_work(call, name)
    blobs_work(call, name)
    leases_work(call, name)
    invalidations_are_told(call, name)
    all_is_counted(call, name)
    operations_work(call, name)
    backends_and_data_types_are_listed(call)
    all_is_deleted(call, name)
    assert not call.missed()


def caches_work(call: Caller) -> str:
    wanted = pb.Cache(display_name="Prices", compression=pb.Cache.COMPRESSION_ZSTD, max_entries=1000)
    made = call("CreateCache", pb.CreateCacheRequest(cache_id=f"prices-{call.way}", cache=wanted))
    assert (made.display_name, made.compression, made.max_entries) == ("Prices", pb.Cache.COMPRESSION_ZSTD, 1000)
    change = pb.Cache(name=made.name, display_name="All prices")
    request = pb.UpdateCacheRequest(cache=change)
    request.update_mask.paths.extend(["display_name", "max_entries"])
    changed = call("UpdateCache", request)
    assert (changed.display_name, changed.max_entries) == ("All prices", 0)
    assert call("GetCache", pb.GetCacheRequest(name=made.name)) == changed
    listing = pb.ListCachesRequest(filter=f'name = "{made.name}"', order_by="create_time desc", page_size=5)
    assert list(call("ListCaches", listing).caches) == [changed]
    return str(made.name)


def put(call: Caller, name: str, key: str, value: bytes = b"1", **fields: Any) -> pb.Entry:
    entry = pb.Entry(inline_value=value, **fields)
    return call("PutEntry", pb.PutEntryRequest(cache=name, key=key, entry=entry))  # type: ignore[no-any-return]


def entries_work(call: Caller, name: str) -> None:
    entry = pb.Entry(json_value=Value(string_value="1.08"), tags=["fx"], metadata=to_struct({"team": "a b+c"}))
    stored = call("PutEntry", pb.PutEntryRequest(cache=name, key="eur/usd", entry=entry))
    assert (stored.cache, stored.key) == (name, "eur/usd")
    got = call("GetEntry", pb.GetEntryRequest(cache=name, key="eur/usd"))
    assert (got.json_value, got.tags, got.metadata, got.etag) == (
        entry.json_value,
        entry.tags,
        entry.metadata,
        stored.etag,
    )
    known = pb.GetEntryRequest(cache=name, key="eur/usd", known_etag=got.etag, view=pb.ENTRY_VIEW_VALUE)
    assert call("GetEntry", known).WhichOneof("value") is None
    touched = call(
        "TouchEntry", pb.TouchEntryRequest(cache=name, key="eur/usd", ttl=Duration(seconds=60), etag=got.etag)
    )
    assert (touched.ttl.seconds, touched.etag) == (60, got.etag)
    counted = call("IncrementEntry", pb.IncrementEntryRequest(cache=name, key="seen", delta=-3, initial_value=10))
    assert counted.counter_value == 7
    listing = pb.ListEntriesRequest(cache=name, prefix="e", filter='metadata.team = "a b+c"', order_by="key desc")
    assert [entry.key for entry in call("ListEntries", listing).entries] == ["eur/usd"]
    call("DeleteEntry", pb.DeleteEntryRequest(cache=name, key="eur/usd", etag=got.etag))
    assert not call("ListEntries", listing).entries


def batches_work(call: Caller, name: str) -> None:
    rows = [pb.PutEntryRow(key=key, entry=pb.Entry(inline_value=key.encode())) for key in ("a", "b", "c")]
    rows.append(pb.PutEntryRow(key="a", entry=rows[0].entry, condition=pb.PutCondition(absent=True)))
    results = call("BatchPutEntries", pb.BatchPutEntriesRequest(cache=name, rows=rows)).results
    assert [result.entry.key or reason(result) for result in results] == ["a", "b", "c", "ALREADY_EXISTS"]
    request = pb.BatchGetEntriesRequest(cache=name, keys=["c", "none", "a"])
    for binding in (0, 1):
        results = call("BatchGetEntries", request, binding).results
        assert [result.entry.inline_value or reason(result) for result in results] == [b"c", "ENTRY_NOT_FOUND", b"a"]
    touches = [pb.TouchEntryRow(key="none"), pb.TouchEntryRow(key="b", ttl=Duration(seconds=5))]
    results = call("BatchTouchEntries", pb.BatchTouchEntriesRequest(cache=name, rows=touches)).results
    assert (reason(results[0]), results[1].entry.ttl.seconds) == ("ENTRY_NOT_FOUND", 5)
    deletes = [pb.DeleteEntryRow(key=key) for key in ("none", "a")]
    results = call("BatchDeleteEntries", pb.BatchDeleteEntriesRequest(cache=name, rows=deletes)).results
    assert (reason(results[0]), results[1].WhichOneof("result")) == ("ENTRY_NOT_FOUND", "deleted")


def reason(result: Any) -> str:
    """Returns why a row failed."""
    [info] = [detail for detail in result.status.details if detail.type_url.endswith("/google.rpc.ErrorInfo")]
    unpacked = error_details_pb2.ErrorInfo()
    info.Unpack(unpacked)
    return unpacked.reason


def blobs_work(call: Caller, name: str) -> None:
    value = bytes(range(256)) * (10 * MIB // 256) + b"the end"
    digest = hashlib.sha256(value).hexdigest()
    if call.way == "grpc":
        header = pb.WriteBlobHeader(cache=name, key="large", entry=pb.Entry(content_type="image/tiff"))
        pieces = [pb.WriteBlobRequest(data=value[start : start + MIB]) for start in range(0, len(value), MIB)]
        trailer = pb.WriteBlobTrailer(size_bytes=len(value), sha256=digest)
        sent = [pb.WriteBlobRequest(header=header), *pieces, pb.WriteBlobRequest(trailer=trailer)]
        assert call("WriteBlob", sent).blob.sha256 == digest
    else:
        value = value[-MIB:]
        put(call, name, "large", value, content_type="image/tiff")
    with call.stream("ReadBlob", pb.ReadBlobRequest(cache=name, key="large", offset=7)) as answers:
        messages = list(answers)
    assert b"".join(message.data for message in messages) == value[7:]
    assert (messages[0].entry.key, messages[0].offset, messages[-1].complete) == ("large", 7, True)
    with call.stream("DownloadBlob", pb.DownloadBlobRequest(cache=name, key="large", limit=3 * MIB)) as answers:
        bodies = list(answers)
    assert b"".join(body.data for body in bodies) == value[: 3 * MIB]
    assert {body.content_type for body in bodies} == {"image/tiff"}


def leases_work(call: Caller, name: str) -> None:
    request = pb.LeaseEntryRequest(cache=name, key="leased", lease_duration=Duration(seconds=20))
    lease = call("LeaseEntry", request).lease
    held = {"cache": name, "key": "leased", "lease_token": lease.lease_token}
    extended = call("ExtendLease", pb.ExtendLeaseRequest(**held, lease_duration=Duration(seconds=60)))
    assert extended.expire_time.seconds > lease.expire_time.seconds
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, "LeaseEntry", request)
        wait_blocking(lambda: call("GetCacheStats", pb.GetCacheStatsRequest(name=name)).waiter_count == 1)
        condition = pb.PutCondition(lease_token=lease.lease_token)
        entry = pb.Entry(inline_value=b"computed")
        call("PutEntry", pb.PutEntryRequest(cache=name, key="leased", entry=entry, condition=condition))
        assert waiting.result(20).entry.inline_value == b"computed"
        request.key = held["key"] = "given back"
        held["lease_token"] = call("LeaseEntry", request).lease.lease_token
        waiting = pool.submit(call, "LeaseEntry", request)
        wait_blocking(lambda: call("GetCacheStats", pb.GetCacheStatsRequest(name=name)).waiter_count == 1)
        call("ReleaseLease", pb.ReleaseLeaseRequest(**held))
        assert waiting.result(20).lease.lease_token not in ("", held["lease_token"])


def invalidations_are_told(call: Caller, name: str) -> None:
    with call.stream("WatchInvalidations", pb.WatchInvalidationsRequest(cache=name)) as watch:
        first = next(watch)
        assert first.reset and first.resume_token
        stored = put(call, name, "watched", tags=["t"])
        selector = pb.InvalidateEntriesRequest(cache=name, tags=["t"])
        assert call("InvalidateEntries", selector).invalidated_count == 1
        told = []
        while len(told) < 2:
            told += next(watch).invalidations
    assert (told[0].key, told[0].cause, told[0].etag) == ("watched", pb.Invalidation.CAUSE_PUT, stored.etag)
    assert (told[1].tag, told[1].cause) == ("t", pb.Invalidation.CAUSE_INVALIDATE)
    resumed = pb.WatchInvalidationsRequest(cache=name, resume_token=first.resume_token)
    assert call("WatchInvalidations", resumed).invalidations[0] == told[0]


def all_is_counted(call: Caller, name: str) -> None:
    request = pb.GetCacheStatsRequest(name=name)
    entries = call("ListEntries", pb.ListEntriesRequest(cache=name)).entries
    assert call("GetCacheStats", request).entry_count == len(entries) > 0
    wait_blocking(lambda: call("GetCacheStats", request).invalidation_count == 1)


def operations_work(call: Caller, name: str) -> None:
    begun = call("VerifyCache", pb.VerifyCacheRequest(name=name, repair=True))
    assert begun.name.startswith("cacheOperations/")
    with call.stream("WatchOperation", operation_pb2.WatchOperationRequest(name=begun.name)) as watch:
        *_, last = watch
    assert last.operation.done
    waiting = lro.WaitOperationRequest(name=begun.name, timeout=Duration(nanos=50_000_000))
    ended = call("WaitOperation", waiting)
    found = pb.VerifyCacheResponse()
    assert ended.response.Unpack(found)
    assert found.entry_count > 0 and not found.problems
    assert call("GetOperation", lro.GetOperationRequest(name=begun.name)) == ended == last.operation
    listing = lro.ListOperationsRequest(name="cacheOperations", filter="done = true", page_size=1)
    assert list(call("ListOperations", listing).operations) == [ended]
    call("CancelOperation", lro.CancelOperationRequest(name=begun.name))


def backends_and_data_types_are_listed(call: Caller) -> None:
    listing = pb.ListBackendsRequest(filter="state = STATE_READY", order_by="backend_id")
    backends = call("ListBackends", listing).backends
    assert [(backend.backend_id, backend.type) for backend in backends] == [
        ("files", "filesystem"),
        ("local", "sqlite"),
    ]
    assert backends[0].options_schema.fields
    types = call("ListDataTypes", pb.ListDataTypesRequest(filter='data_type = "numpy"')).data_types
    assert [(each.data_type, each.builtin) for each in types] == [("numpy", True)]


def all_is_deleted(call: Caller, name: str) -> None:
    call("DeleteCache", pb.DeleteCacheRequest(name=name, force=True))
    assert not call("ListCaches", pb.ListCachesRequest(filter=f'name = "{name}"')).caches
