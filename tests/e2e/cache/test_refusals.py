"""Every RPC of CacheService through a real Envoy, by gRPC and by REST: one error each, in the documented form."""

import pytest
from google.longrunning import operations_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2
from sutler.cache.v1 import cache_pb2 as pb
from sutler.type.v1 import operation_pb2

from tests.e2e.cache.test_every_rpc import SERVICE, put
from tests.e2e.ways import WAYS, Caller, Sent, bindings

pytestmark = pytest.mark.xdist_group("e2e-cache")

HERE, NOWHERE, GONE = "caches/refusing", "caches/none", "cacheOperations/none"
OF_NONE = {"cache": NOWHERE, "key": "k"}
WITH_LEASE = {"cache": HERE, "key": "k", "lease_token": "lost"}
PAST = pb.Entry(inline_value=b"1", expire_time=Timestamp(seconds=1))
HEADER = pb.WriteBlobHeader(cache=HERE, key="k")

BAD_FILTER = code_pb2.INVALID_ARGUMENT, "FILTER_INVALID"
NO_SUCH_CACHE = code_pb2.NOT_FOUND, "CACHE_NOT_FOUND"
NOT_FOUND = code_pb2.NOT_FOUND, "NOT_FOUND"

REFUSALS: dict[str, tuple[Sent, tuple[int, str]]] = {
    "GetCache": (pb.GetCacheRequest(name=NOWHERE), NOT_FOUND),
    "ListCaches": (pb.ListCachesRequest(filter="colour = 1"), BAD_FILTER),
    "CreateCache": (
        pb.CreateCacheRequest(cache_id="c", cache=pb.Cache(blob_backend="s4")),
        (code_pb2.INVALID_ARGUMENT, "BACKEND_UNKNOWN"),
    ),
    "UpdateCache": (
        pb.UpdateCacheRequest(cache=pb.Cache(name=HERE, etag='"stale"', display_name="x")),
        (code_pb2.ABORTED, "ETAG_MISMATCH"),
    ),
    "DeleteCache": (pb.DeleteCacheRequest(name=HERE), (code_pb2.FAILED_PRECONDITION, "HAS_CHILDREN")),
    "GetEntry": (pb.GetEntryRequest(cache=HERE, key="none"), (code_pb2.NOT_FOUND, "ENTRY_NOT_FOUND")),
    "ListEntries": (pb.ListEntriesRequest(cache=HERE, filter="value = 1"), BAD_FILTER),
    "PutEntry": (
        pb.PutEntryRequest(cache=HERE, key="k", entry=PAST),
        (code_pb2.INVALID_ARGUMENT, "EXPIRY_NOT_ALLOWED"),
    ),
    "DeleteEntry": (
        pb.DeleteEntryRequest(cache=HERE, key="k", etag='"stale"'),
        (code_pb2.ABORTED, "ETAG_MISMATCH"),
    ),
    "TouchEntry": (pb.TouchEntryRequest(cache=HERE, key="none"), (code_pb2.NOT_FOUND, "ENTRY_NOT_FOUND")),
    "BatchGetEntries": (
        pb.BatchGetEntriesRequest(cache=HERE, keys=["k"], page_token="made up"),
        (code_pb2.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"),
    ),
    "BatchPutEntries": (
        pb.BatchPutEntriesRequest(cache=HERE, rows=[pb.PutEntryRow(key="k")]),
        (code_pb2.INVALID_ARGUMENT, "FIELD_INVALID"),
    ),
    "BatchDeleteEntries": (
        pb.BatchDeleteEntriesRequest(cache=NOWHERE, rows=[pb.DeleteEntryRow(key="k")]),
        NO_SUCH_CACHE,
    ),
    "BatchTouchEntries": (pb.BatchTouchEntriesRequest(cache=NOWHERE, rows=[pb.TouchEntryRow(key="k")]), NO_SUCH_CACHE),
    "WriteBlob": (
        [pb.WriteBlobRequest(header=HEADER), pb.WriteBlobRequest(data=b"half")],
        (code_pb2.INVALID_ARGUMENT, "BLOB_INCOMPLETE"),
    ),
    "ReadBlob": (pb.ReadBlobRequest(cache=HERE, key="k", offset=9), (code_pb2.OUT_OF_RANGE, "OFFSET_INVALID")),
    "DownloadBlob": (pb.DownloadBlobRequest(cache=HERE, key="none"), (code_pb2.NOT_FOUND, "ENTRY_NOT_FOUND")),
    "LeaseEntry": (
        pb.LeaseEntryRequest(cache=HERE, key="leased", wait_timeout=Duration(nanos=50_000_000)),
        (code_pb2.ABORTED, "LEASE_HELD"),
    ),
    "ExtendLease": (pb.ExtendLeaseRequest(**WITH_LEASE), (code_pb2.ABORTED, "LEASE_LOST")),
    "ReleaseLease": (pb.ReleaseLeaseRequest(**OF_NONE, lease_token="lost"), NO_SUCH_CACHE),
    "IncrementEntry": (
        pb.IncrementEntryRequest(cache=HERE, key="k"),
        (code_pb2.FAILED_PRECONDITION, "NOT_COUNTER"),
    ),
    "InvalidateEntries": (
        pb.InvalidateEntriesRequest(cache=HERE, tags=["t"], all=True),
        (code_pb2.INVALID_ARGUMENT, "FIELD_INVALID"),
    ),
    "WatchInvalidations": (
        pb.WatchInvalidationsRequest(cache=HERE, resume_token="made up"),
        (code_pb2.INVALID_ARGUMENT, "RESUME_TOKEN_INVALID"),
    ),
    "GetCacheStats": (pb.GetCacheStatsRequest(name=NOWHERE), NOT_FOUND),
    "VerifyCache": (pb.VerifyCacheRequest(name=NOWHERE), NOT_FOUND),
    "ListBackends": (pb.ListBackendsRequest(filter="state = STATE_GOOD"), BAD_FILTER),
    "ListDataTypes": (pb.ListDataTypesRequest(filter="colour = 1"), BAD_FILTER),
    "GetOperation": (lro.GetOperationRequest(name=GONE), NOT_FOUND),
    "ListOperations": (lro.ListOperationsRequest(name="cacheOperations", filter="colour = 1"), BAD_FILTER),
    "CancelOperation": (lro.CancelOperationRequest(name=GONE), NOT_FOUND),
    "WaitOperation": (lro.WaitOperationRequest(name=GONE), NOT_FOUND),
    "WatchOperation": (operation_pb2.WatchOperationRequest(name=GONE), NOT_FOUND),
}


@pytest.fixture(scope="module", autouse=True)
def refusing(gateway_address: str) -> None:
    """A cache with an entry and with a lease."""
    call = Caller(gateway_address, SERVICE, "grpc")
    call("CreateCache", pb.CreateCacheRequest(cache_id=HERE.removeprefix("caches/"), cache=pb.Cache()))
    put(call, HERE, "k")
    call("LeaseEntry", pb.LeaseEntryRequest(cache=HERE, key="leased", lease_duration=Duration(seconds=600)))


def test_there_is_an_error_for_every_rpc() -> None:
    assert set(REFUSALS) == set(SERVICE.methods_by_name)


@pytest.mark.parametrize("way", WAYS)
def test_every_rpc_refuses_in_the_documented_form(gateway_address: str, way: str) -> None:
    call, wrong = Caller(gateway_address, SERVICE, way), {}
    for method, (sent, expected) in REFUSALS.items():
        for binding in range(len(bindings(SERVICE.methods_by_name[method])) if way == "rest" else 1):
            found = call.refused(method, sent, binding)
            if found != expected:
                wrong[method] = found
    assert not wrong
    assert not call.missed()
