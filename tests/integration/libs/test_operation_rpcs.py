from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from google.longrunning import operations_pb2 as lro
from google.longrunning import operations_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status
from pydantic_settings import SettingsConfigDict
from sutler import errors
from sutler.auth import make_token
from sutler.client import Progress, Sutler, connect
from sutler.client.operations import progress, result
from sutler.ids import new_id
from sutler.operations import Execution, OperationRunner, State, records
from sutler.operations.servicer import SHARED, OperationBook, OperationsServicer, shared
from sutler.paging import Pager
from sutler.rule.v1 import rule_pb2_grpc
from sutler.server import Running, Runtime, Service
from sutler.settings import ServerSettings
from sutler.status import to_status
from sutler.store import Database
from sutler.store.keys import token_sealer
from sutler.testing import serve, wait_until
from sutler.type.v1.operation_pb2 import WatchOperationRequest

from tests.integration.libs.conftest import SECRET
from tests.integration.libs.operating import AREA, inserted, opened, operation, response, stored, succeed

OWN = "sutler.rule.v1.RuleService"


class Settings(ServerSettings):
    """Operations for tests."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_RULE_")


class Works:
    """A service whose operations wait until they are told how to end."""

    database: Database
    runtime: Runtime

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    @asynccontextmanager
    async def app(self, settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        async with opened(settings.data) as database:
            self.database, self.runtime = database, runtime
            book = OperationBook(AREA, database, Pager(await token_sealer(database)), runtime.shutdown)
            servicer = OperationsServicer(book)
            running = asyncio.create_task(OperationRunner(database, self.work, area=AREA).run())
            try:
                yield Service(
                    area=AREA,
                    servicers={OWN: (rule_pb2_grpc.add_RuleServiceServicer_to_server, servicer), **shared(servicer)},
                )
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def work(self, execution: Execution) -> None:
        await execution.progress(40, "waiting")
        cancelled = asyncio.create_task(execution.cancelled.wait())
        going_on = asyncio.create_task(self.go_on.wait())
        try:
            await asyncio.wait((cancelled, going_on), return_when=asyncio.FIRST_COMPLETED)
        finally:
            cancelled.cancel()
            going_on.cancel()
        if execution.cancelled.is_set():
            await self.database.write(lambda tx: execution.end(tx, State.CANCELLED))
        elif execution.operation.target == "rules/bad":
            error = to_status(errors.NotFound("rules/bad is gone", resource="rules/bad"), "rule.sutler.dev")
            bad = error.SerializeToString()
            await self.database.write(lambda tx: execution.end(tx, State.FAILED, error=bad))
        else:
            await succeed(execution)


@pytest.fixture
def works() -> Works:
    return Works()


@pytest.fixture
async def serving(works: Works, tmp_path: Path, transport: str) -> AsyncIterator[tuple[Sutler, Running]]:
    data = f"sqlite:///{tmp_path}/rule.db"
    async with serve(works.app, Settings, data=data, transport=transport, auth_secret=SECRET) as pair:
        yield pair


@pytest.fixture
def client(serving: tuple[Sutler, Running]) -> Sutler:
    return serving[0]


async def started(works: Works, target: str = "rules/a") -> lro.Operation:
    """Returns an operation that has begun."""
    made = await inserted(works.database, target)

    async def begun() -> bool:
        return (await stored(works.database, made.name)).progress == 40

    await wait_until(begun)
    return lro.Operation(name=made.name)


class TestGet:
    async def test_what_it_says(self, client: Sutler, works: Works) -> None:
        name = (await started(works)).name
        found = await client.rules.GetOperation(lro.GetOperationRequest(name=name))
        assert (found.name, found.done, progress(found)) == (name, False, Progress(40, "waiting", "RUNNING"))
        works.go_on.set()
        ended = await client.wait(found)
        assert isinstance(ended, Empty)

    @pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
    async def test_one_that_ended_without_an_error_still_has_one(
        self, client: Sutler, works: Works, state: State
    ) -> None:
        made = await inserted(works.database, state=state)
        found = await client.rules.GetOperation(lro.GetOperationRequest(name=made.name))
        assert found.done
        with pytest.raises(errors.Cancelled if state is State.CANCELLED else errors.Internal) as caught:
            result(found)
        assert caught.value.domain == "rule.sutler.dev"

    async def test_another_tenants_is_not_found(self, serving: tuple[Sutler, Running], works: Works) -> None:
        name = (await started(works)).name
        bearer = make_token(SECRET, "user:bob", tenant="acme")
        async with connect(serving[1].address, token=bearer, attempts=1) as other:
            for call in (
                other.rules.GetOperation(lro.GetOperationRequest(name=name)),
                other.rules.CancelOperation(lro.CancelOperationRequest(name=name)),
                other.rules.WaitOperation(lro.WaitOperationRequest(name=name)),
                anext(other.rules.WatchOperation(WatchOperationRequest(name=name))),
            ):
                with pytest.raises(errors.NotFound):
                    await call
            assert not (await other.rules.ListOperations(lro.ListOperationsRequest())).operations


class TestList:
    async def listed(self, client: Sutler, **fields: object) -> list[str]:
        request = lro.ListOperationsRequest(**fields)  # type: ignore[arg-type]
        names, token = [], ""
        while True:
            request.page_token = token
            answer = await client.rules.ListOperations(request)
            names += [found.name for found in answer.operations]
            token = answer.next_page_token
            if not token:
                return names

    @pytest.mark.parametrize("page_size", [0, 1, 2, 7])
    async def test_newest_first_in_pages(self, client: Sutler, works: Works, page_size: int) -> None:
        together = [operation(state=State.SUCCEEDED, response=response()) for _ in range(3)]
        await works.database.write(lambda tx: [records.insert(tx, each) for each in together])
        alone = [(await inserted(works.database, state=State.FAILED)).name for _ in range(3)]
        expected = [*reversed(alone), *sorted((each.name for each in together), reverse=True)]
        assert await self.listed(client, page_size=page_size) == expected

    async def test_filters(self, client: Sutler, works: Works) -> None:
        good = (await inserted(works.database, "rules/a", state=State.SUCCEEDED, response=response())).name
        bad = (await inserted(works.database, "rules/b", state=State.FAILED, creator="user:anna")).name
        open_ = (await started(works, "rules/c")).name
        for text, expected in {
            "done = true": {good, bad},
            "done = false": {open_},
            'metadata.target = "rules/b"': {bad},
            "metadata.state = STATE_FAILED": {bad},
            "metadata.state = SUCCEEDED OR metadata.state = RUNNING": {good, open_},
            'metadata.creator = "user:anna"': {bad},
            "metadata.start_time > 2020-01-01T00:00:00Z": {good, bad, open_},
            "metadata.end_time < 2020-01-01T00:00:00Z": set(),
            "NOT metadata.end_time:*": {open_},
            "metadata.attempt = 1 AND metadata.progress_percent >= 40": {open_},
            f'name = "{good}"': {good},
        }.items():
            assert set(await self.listed(client, filter=text)) == expected, text

    async def test_only_its_own_collection(self, client: Sutler) -> None:
        assert await self.listed(client, name="ruleOperations") == []
        with pytest.raises(errors.Invalid):
            await self.listed(client, name="cacheOperations")

    async def test_wrong_filters_and_tokens(self, client: Sutler, works: Works) -> None:
        with pytest.raises(errors.Invalid) as caught:
            await self.listed(client, filter="colour = red")
        assert caught.value.reason == "FILTER_INVALID"
        for _ in range(2):
            await inserted(works.database, state=State.FAILED)
        token = (await client.rules.ListOperations(lro.ListOperationsRequest(page_size=1))).next_page_token
        with pytest.raises(errors.Invalid) as caught:
            await client.rules.ListOperations(lro.ListOperationsRequest(page_token=token, filter="done = true"))
        assert caught.value.reason == "PAGE_TOKEN_INVALID"

    async def test_a_page_ends_before_it_is_too_large_for_a_message(self, client: Sutler, works: Works) -> None:
        large = to_status(errors.NotFound("x" * 1_500_000), "rule.sutler.dev").SerializeToString()
        for _ in range(5):
            await inserted(works.database, state=State.FAILED, error=large)
        assert len(await self.listed(client)) == 5


class TestCancel:
    async def test_ends_it(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        await client.rules.CancelOperation(lro.CancelOperationRequest(name=begun.name))
        with pytest.raises(errors.Cancelled):
            await client.wait(begun)
        await client.rules.CancelOperation(lro.CancelOperationRequest(name=begun.name))


class TestWait:
    async def test_until_it_has_ended(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        waiting = asyncio.create_task(client.rules.WaitOperation(lro.WaitOperationRequest(name=begun.name)))
        works.go_on.set()
        assert (await waiting).done

    async def test_until_the_timeout(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        asked = time.monotonic()
        request = lro.WaitOperationRequest(name=begun.name, timeout=Duration(nanos=200_000_000))
        assert not (await client.rules.WaitOperation(request)).done
        assert 0.2 <= time.monotonic() - asked < 5

    async def test_no_less_than_nothing(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        with pytest.raises(errors.Invalid) as caught:
            await client.rules.WaitOperation(lro.WaitOperationRequest(name=begun.name, timeout=Duration(seconds=-5)))
        assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_INVALID", "timeout")

    async def test_until_the_deadline_is_near(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        found = await client.rules.WaitOperation(lro.WaitOperationRequest(name=begun.name), timeout=1.5)
        assert not found.done

    async def test_until_the_server_stops(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        waiting = asyncio.create_task(client.rules.WaitOperation(lro.WaitOperationRequest(name=begun.name)))
        await asyncio.sleep(0)
        works.runtime.shutdown.set()
        assert not (await asyncio.wait_for(waiting, 3)).done


class TestWatch:
    async def test_follows_it_to_the_end(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        seen = []
        async for update in client.rules.WatchOperation(WatchOperationRequest(name=begun.name)):
            seen.append(progress(update.operation).state)
            works.go_on.set()
        assert seen == ["RUNNING", "SUCCEEDED"]

    async def test_tells_now_and_then_that_it_lives(
        self, client: Sutler, works: Works, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sutler.operations.servicer.CHECKPOINT_SECONDS", 0.1)
        begun = await started(works)
        watch = client.rules.WatchOperation(WatchOperationRequest(name=begun.name))
        first = [await anext(watch) for _ in range(3)]
        assert first[0] == first[1] == first[2]

    async def test_shutdown_ends_it_at_once_with_its_status(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        watch = client.rules.WatchOperation(WatchOperationRequest(name=begun.name))
        await anext(watch)
        works.runtime.shutdown.set()
        last = await asyncio.wait_for(anext(watch), 3)
        assert (last.HasField("operation"), last.status.code) == (False, errors.Code.UNAVAILABLE)
        with pytest.raises(errors.Unavailable) as caught:
            await anext(watch)
        assert caught.value.reason == "SHUTTING_DOWN"


class TestClientWait:
    async def test_progress_and_response(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        told: list[Progress] = []

        def tell(step: Progress) -> None:
            told.append(step)
            works.go_on.set()

        assert isinstance(await client.wait(begun, tell), Empty)
        assert told == [Progress(40, "waiting", "RUNNING"), Progress(100, "", "SUCCEEDED")]

    async def test_failing_operation(self, client: Sutler, works: Works) -> None:
        begun = await started(works, "rules/bad")
        works.go_on.set()
        with pytest.raises(errors.NotFound) as caught:
            await client.wait(begun)
        assert (caught.value.resource, caught.value.domain) == ("rules/bad", "rule.sutler.dev")

    async def test_one_that_was_done_at_once_needs_no_call(self, client: Sutler) -> None:
        done = lro.Operation(done=True)
        done.response.Pack(Empty())
        assert isinstance(await client.wait(done), Empty)
        failed = lro.Operation(done=True, error=Status(code=5, message="gone"))
        with pytest.raises(errors.NotFound):
            await client.wait(failed)

    async def test_one_of_nobody(self, client: Sutler) -> None:
        with pytest.raises(errors.Invalid):
            await client.wait(lro.Operation(name=f"someOperations/{new_id()}"))

    async def test_response_of_an_unknown_kind(self, client: Sutler) -> None:
        done = lro.Operation(done=True)
        done.response.type_url = "type.googleapis.com/sutler.rule.v9.Future"
        with pytest.raises(errors.Unimplemented):
            await client.wait(done)


async def test_wait_goes_on_over_a_restart(works: Works, tmp_path: Path) -> None:
    """The watch ends with SHUTTING_DOWN, the connection breaks, the server comes back: nobody notices."""
    data = f"sqlite:///{tmp_path}/rule.db"
    async with serve(works.app, Settings, data=data) as (_, server):
        begun = await started(works)
        told: list[Progress] = []
        connection = connect(server.address)
        client = await connection.__aenter__()
        waiting = asyncio.create_task(client.wait(begun, told.append))
        await wait_until(lambda: told)
    works.go_on.set()
    async with serve(works.app, Settings, data=data, port=server.port):
        assert isinstance(await asyncio.wait_for(waiting, 30), Empty)
    await connection.__aexit__(None, None, None)
    assert told[-1].state == "SUCCEEDED"


class TestSharedService:
    async def test_answers_the_same(self, client: Sutler, works: Works) -> None:
        begun = await started(works)
        stub = client.stub(SHARED, operations_pb2_grpc.OperationsStub)
        found = await stub.GetOperation(lro.GetOperationRequest(name=begun.name))
        assert found == await client.rules.GetOperation(lro.GetOperationRequest(name=begun.name))
        assert [each.name for each in (await stub.ListOperations(lro.ListOperationsRequest())).operations] == [
            begun.name
        ]
        await stub.CancelOperation(lro.CancelOperationRequest(name=begun.name))
        assert (await stub.WaitOperation(lro.WaitOperationRequest(name=begun.name))).done

    async def test_needs_the_same_permissions(self, serving: tuple[Sutler, Running], works: Works) -> None:
        name = (await started(works)).name
        bearer = make_token(SECRET, "user:bob", permissions=["rule.operations.list", "cache.operations.*"])
        async with connect(serving[1].address, token=bearer, attempts=1) as other:
            stub = other.stub(SHARED, operations_pb2_grpc.OperationsStub)
            await stub.ListOperations(lro.ListOperationsRequest())
            for call, permission in (
                (stub.GetOperation(lro.GetOperationRequest(name=name)), "get"),
                (stub.CancelOperation(lro.CancelOperationRequest(name=name)), "cancel"),
                (stub.WaitOperation(lro.WaitOperationRequest(name=name)), "wait"),
            ):
                with pytest.raises(errors.PermissionDenied) as caught:
                    await call
                assert caught.value.metadata["permission"] == f"rule.operations.{permission}"

    async def test_has_no_delete(self, client: Sutler) -> None:
        stub = client.stub(SHARED, operations_pb2_grpc.OperationsStub)
        with pytest.raises(errors.Unimplemented):
            await stub.DeleteOperation(lro.DeleteOperationRequest(name="ruleOperations/a"))
