"""Secrets stay inside: not in logs, errors, reads, traces or the store, even if the ERP says them aloud."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import sutler.client
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import SutlerError
from sutler.testing import ServiceProcess, wait_until
from sutler.wire import duration

from tests.conformance.sandbox.processes import started
from tests.integration.erp.conftest import KEY, MAIN, connect
from tests.integration.erp.feeds import subscribe
from tests.integration.erp.servers import Call, Proxy, Reply, failure, result, serving

OWN, MAPPED, WRONG = (f"m4rk3r-{which}-0123456789" for which in ("own", "mapped", "wrong"))
SECRETS = (OWN, MAPPED, WRONG)
TRACED = f"00-{1:032x}-{1:016x}-01"
OPEN = "shown-to-everybody"
KINDS = ["odoo.exceptions.UserError", "odoo.exceptions.AccessError", "odoo.exceptions.ValidationError",
         "odoo.exceptions.MissingError", "builtins.ValueError", "builtins.TypeError", "builtins.KeyError",
         "psycopg2.OperationalError", "psycopg2.errors.SerializationFailure", "werkzeug.exceptions.Teapot"]  # fmt: skip


@dataclass
class Chatterbox:
    """An ERP that, when it is asked for a partner, answers with what it was asked, secret and all."""

    proxy: Proxy
    replies: list[Any] = field(default_factory=list)
    loud: bool = False

    async def answer(self, call: Call) -> Reply:
        if self.replies and call.method in ("read", "authenticate"):
            made: Reply = self.replies[0](call.body.decode())
            return made
        if self.loud and call.method == "search_read":
            return failure("builtins.TypeError", call.body.decode())
        return await self.proxy.answer(call)


@dataclass
class Collector(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Takes every call as bytes, as an OpenTelemetry collector would."""

    received: list[bytes] = field(default_factory=list)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        def take(request: bytes, context: Any) -> bytes:
            self.received.append(request)
            return b""

        return grpc.unary_unary_rpc_method_handler(take)


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((collector,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


async def test_nobody_is_told_a_secret(tmp_path: Path) -> None:
    said: list[str] = []
    with started("--api-key", OWN) as sandbox:
        chatterbox = Chatterbox(Proxy(sandbox.url))
        async with serving(chatterbox.answer) as url:
            with (
                collecting() as (collector, endpoint),
                ServiceProcess(
                    "services.erp",
                    "SUTLER_ERP_",
                    folder=tmp_path,
                    data=f"sqlite:///{tmp_path}/erp.db",
                    secret_keys=KEY,
                    log_level="debug",
                    otlp_endpoint=endpoint,
                    trace_ratio=1.0,
                    poll_interval_seconds=0.1,
                ) as process,
            ):
                await process.serving()
                async with sutler.client.connect(process.address, attempts=1) as client:
                    await talk(client, url, chatterbox, said)
                await wait_until(lambda: traced(collector), 20)
                written = process.output
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("erp.db"))
    everything = {
        "the store": stored,
        "the log": written.encode(),
        "traces and metrics": b"".join(collector.received),
        "answers and errors": "\n".join(said).encode(),
    }
    assert OPEN.encode() in everything["the store"]
    assert "LOGIN_REFUSED" in "\n".join(said)
    assert b"erp_message" in everything["answers and errors"]
    for where, found in everything.items():
        for secret in SECRETS:
            at = found.find(secret.encode())
            assert at < 0, f"{where}: {found[max(0, at - 300) : at + 60]!r}"


async def traced(collector: Collector) -> bool:
    return any(b"CheckConnection" in one for one in collector.received)


async def talk(client: Sutler, url: str, erp: Chatterbox, said: list[str]) -> None:
    """Does everything that has to do with a secret, and notes every answer and every error."""

    async def say(method: str, request: Any) -> None:
        try:
            said.append(str(await getattr(client.erp, method)(request, metadata={"traceparent": TRACED})))
        except SutlerError as error:
            said.append(f"{error.reason} {error} {error.metadata} {error.violations} {error.__cause__!r}")

    read = pb.GetRecordRequest(connection=MAIN, model="res.partner", id=10, fields=["name"])
    check = pb.CheckConnectionRequest(name=MAIN)
    mapping = pb.UserMapping(caller="anonymous", username="demo", secret=MAPPED)
    quick = pb.RetryPolicy(max_attempts=1)
    never = pb.BreakerPolicy(failure_limit=1000)
    made = await connect(
        client, url, secret=OWN, display_name=OPEN, retry_policy=quick,
        breaker_policy=never, max_login_rate=100, timeout=duration(2),
    )  # fmt: skip
    said.append(str(made))
    await subscribe(client, fields=["state"])
    for method, request in (("CheckConnection", check), ("GetRecord", read), ("GetConnection", check)):
        await say(method, pb.GetConnectionRequest(name=MAIN) if method == "GetConnection" else request)
    erp.loud = True
    for kind in KINDS:
        erp.replies = [lambda body, kind=kind: failure(kind, f"cannot do {body}", f"Traceback {body}")]
        await say("GetRecord", read)
        await say("CheckConnection", check)
    for reply in (
        lambda body: Reply(f"<html>{body}".encode(), 502, "text/html"),
        lambda body: Reply(body.encode()[:-5]),
        lambda body: Reply(body.encode()),
        lambda body: result({"told": body}),
        lambda body: result([body]),
    ):
        erp.replies = [reply]
        await say("GetRecord", read)
        await say("CheckConnection", check)
    erp.replies = []
    for secret in (WRONG, OWN):
        await say("UpdateConnection", pb.UpdateConnectionRequest(connection=pb.Connection(name=MAIN, secret=secret)))
        await say("CheckConnection", check)
        await say("GetRecord", read)
    await say(
        "UpdateConnection", pb.UpdateConnectionRequest(connection=pb.Connection(name=MAIN, user_mappings=[mapping]))
    )
    await say("CheckConnection", check)
    await say("GetRecord", read)
    wrong = pb.Connection(name=MAIN, secret=WRONG, url=f"http://admin:{WRONG}@127.0.0.1:9", driver="no such")
    await say("UpdateConnection", pb.UpdateConnectionRequest(connection=wrong))
    await say("CreateConnection", pb.CreateConnectionRequest(connection_id="2", connection=wrong))
    await say("ListConnections", pb.ListConnectionsRequest(filter=f'secret = "{OPEN}"'))
    await say("GetSubscription", pb.GetSubscriptionRequest(name=f"{MAIN}/subscriptions/orders"))
    await say("ListConnections", pb.ListConnectionsRequest())
