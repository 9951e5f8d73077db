"""Several writes as one, through a real server: all of them, or undone in reverse with the old values."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    Invalid,
    NotFound,
    PermissionDenied,
    SutlerError,
)
from sutler.testing import wait_until
from sutler.wire import from_struct, from_value

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, RULES, connect, gateway
from tests.integration.erp.requests import request_id
from tests.integration.erp.servers import Proxy, failure
from tests.integration.erp.transactions import (
    State,
    call,
    create,
    delete,
    get,
    refused,
    request,
    run,
    states,
    update,
)

ORDER = "${steps.order.id}"


def partner(sandbox: SandboxProcess, **values: Any) -> int:
    [made] = sandbox.call("res.partner", "create", [{"name": "kept", **values}])
    return int(made)


def read(sandbox: SandboxProcess, model: str, record_id: int, *fields: str) -> list[Any]:
    [found] = sandbox.call(model, "read", [record_id], list(fields))
    return [found[name] for name in fields]


async def test_every_kind_of_step_in_one_transaction(database: str, sandbox: SandboxProcess) -> None:
    async with gateway(database) as client:
        await connect(client, sandbox.url, method_rules=RULES)
        one, two = partner(sandbox), partner(sandbox, color=1)
        done = await run(
            client,
            create({"partner_id": one, "client_order_ref": "T1"}, "sale.order", "order"),
            create({"order_id": ORDER, "product_id": 1, "product_uom_qty": 2}, "sale.order.line"),
            update(two, {"color": 5, "parent_id": {"id": one}}),
            delete(two),
            call("action_confirm", ORDER),
            transaction_id="whole",
            request_id=request_id(),
        )
        assert (done.name, done.state, done.step_count) == (f"{MAIN}/transactions/whole", State.STATE_SUCCEEDED, 5)
        assert states(done) == ["SUCCEEDED"] * 5
        order = done.steps[0].record_id
        assert done.steps[0].external_id.startswith("__sutler__.")
        assert from_struct(done.steps[2].old_values) == {"color": 1, "parent_id": None}
        assert from_value(done.steps[4].result) is True
        assert read(sandbox, "sale.order", order, "state", "client_order_ref") == ["sale", "T1"]
        assert read(sandbox, "sale.order.line", done.steps[1].record_id, "product_uom_qty") == [2]
        assert read(sandbox, "res.partner", two, "color", "active") == [5, False]
        assert await get(client, done.name) == done
        listed = await client.erp.ListTransactions(
            erp_pb2.ListTransactionsRequest(parent=MAIN, filter='method = "RunTransaction"')
        )
        assert [(one.name, one.step_count, len(one.steps)) for one in listed.transactions] == [(done.name, 5, 0)]


@pytest.mark.parametrize("position", range(5))
async def test_a_failure_at_any_position_undoes_what_came_before(
    database: str, sandbox: SandboxProcess, position: int
) -> None:
    tag = categories(sandbox)
    one = partner(sandbox, color=1, comment="<p>old</p>", category_id=[[6, 0, tag[:2]]], credit_limit=2.5)
    archived = partner(sandbox)
    [order] = sandbox.call("sale.order", "create", [{"partner_id": 10}])
    ref = f"undo-{uuid.uuid4().hex[:8]}"
    steps = [
        create({"name": "new", "ref": ref}),
        update(
            one,
            {
                "color": 2,
                "comment": "new",
                "category_id": {"add": [tag[2]], "remove": [tag[0]]},
                "credit_limit": "7.125",
            },
        ),
        delete(archived),
        call("action_cancel", order, undo="action_draft"),
        create({"name": "also", "ref": ref}),
    ]
    async with gateway(database) as client:
        await connect(client, sandbox.url, method_rules=RULES)
        with pytest.raises(AlreadyExists) as caught:
            await run(client, *steps[:position], refused(), *steps[position:])
        assert (caught.value.reason, caught.value.metadata["step"]) == ("UNIQUE_VIOLATION", "refused")
        undone = await get(client, caught.value.metadata["transaction"])
        assert undone.state == State.STATE_UNDONE
        assert states(undone) == ["UNDONE"] * position + ["FAILED"] + ["SKIPPED"] * (5 - position)
        assert undone.error == undone.steps[position].error
    assert read(sandbox, "res.partner", one, "color", "comment", "credit_limit") == [1, "<p>old</p>", 2.5]
    assert sorted(read(sandbox, "res.partner", one, "category_id")[0]) == sorted(tag[:2])
    assert read(sandbox, "res.partner", archived, "active") == [True]
    assert read(sandbox, "sale.order", order, "state") == ["draft"]
    assert found(sandbox, ref) == []


def categories(sandbox: SandboxProcess) -> list[int]:
    return [sandbox.call("res.partner.category", "create", {"name": uuid.uuid4().hex}) for _ in range(3)]


def found(sandbox: SandboxProcess, ref: str) -> list[int]:
    domain = [["ref", "=", ref]]
    return list(sandbox.call("res.partner", "search", domain, context={"active_test": False}))


@pytest.mark.parametrize(
    ("steps", "kind", "reason"),
    [
        ([delete(1, permanent=True), update(1, {"color": 1})], FailedPrecondition, "STEP_NOT_UNDOABLE"),
        ([delete(1, "sale.order"), update(1, {"color": 1})], FailedPrecondition, "STEP_NOT_UNDOABLE"),
        ([call("action_confirm", 1), update(1, {"color": 1})], FailedPrecondition, "STEP_NOT_UNDOABLE"),
        (
            [create({"partner_id": 10}, "sale.order", undo=erp_pb2.CreateStep.UNDO_ARCHIVE), update(1, {"color": 1})],
            FailedPrecondition,
            "STEP_NOT_UNDOABLE",
        ),
        (
            [update(1, {"child_ids": {"create": [{"name": "x"}]}}), update(1, {"color": 1})],
            FailedPrecondition,
            "STEP_NOT_UNDOABLE",
        ),
        ([update("${steps.order.id}", {"color": 1})], Invalid, "STEP_REFERENCE_INVALID"),
        ([update(1, {"parent_id": "${steps.2.id}"}), create({"name": "x"})], Invalid, "STEP_REFERENCE_INVALID"),
        ([update(1, {"color": 1}), update(2, {"parent_id": "${steps.1.id}"})], Invalid, "STEP_REFERENCE_INVALID"),
        ([create({"name": "x"}), update(2, {"name": "${steps.1.name}"})], Invalid, "STEP_REFERENCE_INVALID"),
        ([update(1, {"colour": 1})], Invalid, "FIELD_NOT_FOUND"),
        ([update(1, {"color": "red"})], Invalid, "VALUE_INVALID"),
        ([update(0, {"color": 1})], Invalid, "FIELD_INVALID"),
        ([create({"name": "x"}, step_id="a"), create({"name": "x"}, step_id="a")], Invalid, "FIELD_INVALID"),
        ([call("unlink", 1, model="res.partner")], PermissionDenied, "METHOD_NOT_ALLOWED"),
        ([create({"name": "x"}, "no.such")], NotFound, "MODEL_NOT_FOUND"),
        ([create({"name": "x" * 1_100_000})], Invalid, "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_run_is_refused_before_anything_is_written(
    lossy: tuple[Sutler, Proxy], steps: list[Any], kind: type[SutlerError], reason: str
) -> None:
    client, server = lossy
    with pytest.raises(kind) as caught:
        await run(client, *steps)
    assert caught.value.reason == reason
    assert {"create", "load", "write", "unlink", "action_confirm"} & {one.method for one in server.calls} == set()
    listed = await client.erp.ListTransactions(erp_pb2.ListTransactionsRequest(parent=MAIN))
    assert list(listed.transactions) == []


async def test_a_checked_transaction_writes_nothing(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    planned = await run(client, update(partner(sandbox), {"color": 1}), delete(1), validate_only=True)
    assert states(planned) == ["PENDING", "PENDING"]
    assert {"write", "unlink"} & {one.method for one in server.calls} == set()


async def test_a_step_that_could_not_be_undone_may_be_the_last(erp: Sutler, sandbox: SandboxProcess) -> None:
    one, two = partner(sandbox), partner(sandbox)
    done = await run(erp, update(one, {"color": 3}), delete(two, permanent=True))
    assert done.state == State.STATE_SUCCEEDED
    assert sandbox.call("res.partner", "search_count", [["id", "=", two]]) == 0


async def test_what_somebody_else_changed_is_not_overwritten(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    one, two = partner(sandbox, color=1), partner(sandbox, color=1)
    # The third step waits at the ERP, which meanwhile somebody else writes to.
    server.slow("action_cancel", 1.5)
    [order] = sandbox.call("sale.order", "create", [{"partner_id": 10}])
    running = asyncio.create_task(
        run(
            client,
            update(one, {"color": 2}),
            update(two, {"color": 2}),
            call("action_cancel", order, undo="action_draft"),
            refused(),
        )
    )
    await wait_until(lambda: server.slowed == 1)
    sandbox.call("res.partner", "write", [one], {"color": 9})
    with pytest.raises(Conflict) as caught:
        await running
    assert (caught.value.reason, caught.value.metadata["steps"]) == ("UNDO_FAILED", "1")
    standing = await get(client, caught.value.metadata["transaction"])
    assert standing.state == State.STATE_UNDO_FAILED
    assert states(standing) == ["UNDO_FAILED", "UNDONE", "UNDONE", "FAILED"]
    assert [read(sandbox, "res.partner", each, "color") for each in (one, two)] == [[9], [1]]
    assert read(sandbox, "sale.order", order, "state") == ["draft"]


async def test_what_cannot_be_deleted_is_archived(erp: Sutler, sandbox: SandboxProcess) -> None:
    """An order that nobody undoes keeps its customer: that one can only be archived."""
    with pytest.raises(AlreadyExists) as caught:
        await run(
            erp,
            create({"name": "customer"}, step_id="customer"),
            create({"partner_id": "${steps.customer.id}"}, "sale.order", undo=erp_pb2.CreateStep.UNDO_DELETE),
            refused(),
        )
    undone = await get(erp, caught.value.metadata["transaction"])
    customer, order, _ = [one.record_id for one in undone.steps]
    assert sandbox.call("sale.order", "search_count", [["id", "=", order]]) == 0
    assert sandbox.call("res.partner", "search_count", [["id", "=", customer]]) == 0
    archived = create({"name": "archived"}, undo=erp_pb2.CreateStep.UNDO_ARCHIVE)
    with pytest.raises(AlreadyExists) as caught:
        await run(erp, archived, refused())
    undone = await get(erp, caught.value.metadata["transaction"])
    assert read(sandbox, "res.partner", undone.steps[0].record_id, "active") == [False]


async def test_etags_hold_before_anything_is_written(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    one, two = partner(sandbox, color=1), partner(sandbox, color=1)
    got = await client.erp.GetRecord(
        erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=two, fields=["color"])
    )
    sandbox.call("res.partner", "write", [two], {"color": 2})
    with pytest.raises(Conflict) as caught:
        await run(client, update(one, {"color": 5}), update(two, {"color": 5}, etag=got.etag))
    assert (caught.value.reason, caught.value.metadata["step"]) == ("ETAG_MISMATCH", "2")
    assert server.count("write") == 0


async def test_a_repeat_answers_the_first_and_runs_anew_what_was_undone(erp: Sutler, sandbox: SandboxProcess) -> None:
    one = partner(sandbox, color=1)
    ref = f"repeat-{uuid.uuid4().hex[:8]}"
    once = request(create({"name": "n", "ref": ref}), update(one, {"color": 2}), request_id=request_id())
    told = await asyncio.gather(*(erp.erp.RunTransaction(once) for _ in range(4)))
    assert all(each == told[0] for each in told)
    assert len(found(sandbox, ref)) == 1
    other = request(update(one, {"color": 3}), request_id=once.request_id)
    with pytest.raises(Invalid) as reused:
        await erp.erp.RunTransaction(other)
    assert reused.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(AlreadyExists) as taken:
        await run(erp, update(one, {"color": 3}), transaction_id=told[0].name.rpartition("/")[2])
    assert taken.value.reason == "ALREADY_EXISTS"

    code = uuid.uuid4().hex[:2].upper()
    [country] = sandbox.call("res.country", "create", [{"name": f"C{code}", "code": code}])
    again = request(
        create({"name": "n", "ref": f"{ref}-2"}),
        create({"name": "Twice", "code": code}, "res.country"),
        transaction_id="again",
        request_id=request_id(),
    )
    with pytest.raises(AlreadyExists):
        await erp.erp.RunTransaction(again)
    undone = await get(erp, f"{MAIN}/transactions/again")
    sandbox.call("res.country", "unlink", [country])
    done = await erp.erp.RunTransaction(again)
    assert (done.name, done.state) == (undone.name, State.STATE_SUCCEEDED)
    assert done.uid != undone.uid
    assert found(sandbox, f"{ref}-2") == [done.steps[0].record_id]


async def test_a_detached_transaction_goes_on_by_itself(erp: Sutler, sandbox: SandboxProcess) -> None:
    one = partner(sandbox)
    once = request_id()
    begun = await run(erp, update(one, {"color": 7}), detached=True, request_id=once)
    assert begun.state == State.STATE_RUNNING

    async def done() -> bool:
        return (await get(erp, begun.name)).state == State.STATE_SUCCEEDED

    await wait_until(done)
    assert (await run(erp, update(one, {"color": 7}), detached=True, request_id=once)).name == begun.name
    assert read(sandbox, "res.partner", one, "color") == [7]


async def test_a_caller_that_goes_away_does_not_stop_it(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    one, two = partner(sandbox), partner(sandbox)
    server.slow("write", 0.5)
    running = asyncio.create_task(
        run(client, update(one, {"color": 4}), update(two, {"color": 4}), transaction_id="left")
    )
    await wait_until(lambda: server.slowed == 1)
    running.cancel()
    with pytest.raises(Conflict) as busy:
        await client.erp.DeleteConnection(erp_pb2.DeleteConnectionRequest(name=MAIN, force=True))
    assert busy.value.metadata["operation"] == f"{MAIN}/transactions/left"

    async def done() -> bool:
        return (await get(client, f"{MAIN}/transactions/left")).state == State.STATE_SUCCEEDED

    await wait_until(done)
    assert [read(sandbox, "res.partner", each, "color") for each in (one, two)] == [[4], [4]]


async def test_concurrent_transactions_on_the_same_records_come_one_after_the_other(
    erp: Sutler, sandbox: SandboxProcess
) -> None:
    one, two = partner(sandbox, color=1), partner(sandbox, color=1)

    async def attempt(number: int) -> int:
        steps = [update(one, {"color": number}), update(two, {"color": number})]
        if number % 2:
            steps.append(refused())
        ordered = [*(reversed(steps[:2]) if number % 3 else steps[:2]), *steps[2:]]
        if number % 2 == 0:
            await run(erp, *ordered)
            return number
        with pytest.raises(AlreadyExists) as caught:  # and never UNDO_FAILED
            await run(erp, *ordered)
        return 0 if caught.value.reason == "UNIQUE_VIOLATION" else -1

    told = await asyncio.gather(*(attempt(number) for number in range(2, 10)))
    assert sorted(told) == [0, 0, 0, 0, 2, 4, 6, 8]
    [left], [right] = (read(sandbox, "res.partner", each, "color") for each in (one, two))
    assert left == right
    assert left in (2, 4, 6, 8)


async def test_answers_that_are_lost(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    one = partner(sandbox, color=1)
    ref = f"lost-{uuid.uuid4().hex[:8]}"
    server.lose("load")
    server.lose("write")
    done = await run(client, create({"name": "n", "ref": ref}), update(one, {"color": 2}), create({"name": "last"}))
    assert done.state == State.STATE_SUCCEEDED
    assert (server.count("load"), server.count("write")) == (2, 1)
    assert found(sandbox, ref) == [done.steps[0].record_id]

    [order] = sandbox.call("sale.order", "create", [{"partner_id": 10}])
    server.lose("action_confirm")
    once = request(
        update(one, {"color": 3}),
        call("action_confirm", order, undo="action_cancel"),
        update(one, {"color": 4}),
        request_id=request_id(),
    )
    for _ in range(2):
        with pytest.raises(Conflict) as caught:
            await client.erp.RunTransaction(once)
        assert (caught.value.reason, caught.value.metadata["step"]) == ("OUTCOME_UNKNOWN", "2")
    unknown = await get(client, caught.value.metadata["transaction"])
    assert (unknown.state, states(unknown)) == (
        State.STATE_OUTCOME_UNKNOWN,
        ["SUCCEEDED", "OUTCOME_UNKNOWN", "SKIPPED"],
    )
    assert server.count("action_confirm") == 1
    assert read(sandbox, "res.partner", one, "color") == [3]


async def test_an_undo_that_the_erp_refuses_is_told(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    [order] = sandbox.call("sale.order", "create", [{"partner_id": 10}])
    one = partner(sandbox, color=1)
    server.replace("action_draft", failure("odoo.exceptions.UserError", "No way back."))
    with pytest.raises(Conflict) as caught:
        await run(client, update(one, {"color": 2}), call("action_cancel", order, undo="action_draft"), refused())
    assert (caught.value.reason, caught.value.metadata["steps"]) == ("UNDO_FAILED", "2")
    standing = await get(client, caught.value.metadata["transaction"])
    assert states(standing) == ["UNDONE", "UNDO_FAILED", "FAILED"]
    assert standing.steps[1].undo_error.message.endswith("No way back.")
    assert read(sandbox, "sale.order", order, "state") == ["cancel"]


async def test_callers_whose_reads_were_joined_learn_nothing_of_each_other(lossy: tuple[Sutler, Proxy]) -> None:
    client, server = lossy
    await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))
    asked = server.count("fields_get")
    server.slow("fields_get", 0.3)
    told = await asyncio.gather(
        run(client, create({"name": "a"}, "no.such", "first")),
        client.erp.GetRecord(erp_pb2.GetRecordRequest(connection=MAIN, model="no.such", id=1)),
        run(client, create({"name": "b"}, "no.such", "second")),
        return_exceptions=True,
    )
    assert server.count("fields_get") == asked + 1
    assert all(isinstance(one, NotFound) and one.reason == "MODEL_NOT_FOUND" for one in told)
    assert [one.metadata.get("step") for one in told if isinstance(one, NotFound)] == ["first", None, "second"]
