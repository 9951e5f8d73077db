from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from sutler.certs import write_certificates
from sutler.testing import free_port

from deploy.docker.health import healthy

STATES = health_pb2.HealthCheckResponse.ServingStatus


@pytest.mark.parametrize("state", ["SERVING", "NOT_SERVING"])
def test_a_service_is_as_healthy_as_it_says(state: str, tmp_path: Path) -> None:
    made = write_certificates(tmp_path, ["localhost"])
    servicer = health.HealthServicer()
    servicer.set("", STATES.Value(state))
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    pair = (made.key.read_bytes(), made.certificate.read_bytes())
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        assert healthy(f"localhost:{port}", made.ca) == (state == "SERVING")
    finally:
        server.stop(None).wait()


def test_nobody_is_not_healthy(tmp_path: Path) -> None:
    assert not healthy(f"localhost:{free_port()}", write_certificates(tmp_path, ["localhost"]).ca)
