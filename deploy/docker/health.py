"""Ends with 0 if a service of the compose file is healthy: ``python -m deploy.docker.health localhost:50051``."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

CA = Path("/certs/ca.pem")
SECONDS = 3.0


def healthy(address: str, ca: Path = CA) -> bool:
    """Returns whether the service at ``host:port``, whose certificate ``ca`` signed, says SERVING."""
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read_bytes())) as channel:
        stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(not healthy(sys.argv[1]))
