"""ReconcileProvider through a real Envoy, by gRPC and by REST: machines that are there, and refusals."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.longrunning import operations_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from sutler.provider.v1 import provider_pb2 as pb

from tests.e2e.gateway.stack import service_behind
from tests.e2e.ways import WAYS, Caller, Refused

SERVICE = pb.DESCRIPTOR.services_by_name["ProviderService"]
LAB, TEMPLATE = "providers/lab", "templates/small"

pytestmark = pytest.mark.xdist_group("e2e-provider")


@pytest.fixture(scope="module")
def gateway_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("provider")
    settings = {"data": f"sqlite:///{folder}/provider.db", "machines": folder / "machines"}
    with service_behind(folder, "provider", **settings) as up:
        yield up.address


@pytest.mark.parametrize("way", WAYS)
def test_reconciled(gateway_address: str, way: str) -> None:
    call = Caller(gateway_address, SERVICE, way)
    lab = pb.Provider(name=LAB, type="process")
    call("UpdateProvider", pb.UpdateProviderRequest(provider=lab, allow_missing=True))
    process = pb.ProcessSpec(command=["sleep", "1000"])
    template = pb.Template(name=TEMPLATE, provider=LAB, process=process)
    call("UpdateTemplate", pb.UpdateTemplateRequest(template=template, allow_missing=True))
    finished(call, call("RequestMachines", pb.RequestMachinesRequest(template=TEMPLATE, count=2)))
    try:
        for apply in (False, True):
            operation = call("ReconcileProvider", pb.ReconcileProviderRequest(name=LAB, apply=apply))
            answer = pb.ReconcileProviderResponse()
            assert finished(call, operation).response.Unpack(answer)
            assert (answer.applied, answer.observed_count, answer.finding_count) == (apply, 2, 0)
        assert call("GetProvider", pb.GetProviderRequest(name=LAB)).HasField("reconcile_time")
        wrong = [
            (pb.ReconcileProviderRequest(name="providers/none"), code_pb2.NOT_FOUND, "NOT_FOUND"),
            (pb.ReconcileProviderRequest(name=LAB, regions=["mars"]), code_pb2.INVALID_ARGUMENT, "REGION_UNKNOWN"),
        ]
        for request, code, reason in wrong:
            with pytest.raises(Refused) as refused:
                call("ReconcileProvider", request)
            assert refused.value.answer.reason()[:2] == (code, reason)
    finally:
        finished(call, call("ReturnMachines", pb.ReturnMachinesRequest(all=True, force=True)))


def finished(call: Caller, operation: lro.Operation) -> lro.Operation:
    """Returns an operation when it has ended."""
    while not operation.done:
        wait = lro.WaitOperationRequest(name=operation.name, timeout=Duration(seconds=20))
        operation = call("WaitOperation", wait)
    assert not operation.HasField("error"), operation
    return operation
