"""The base class of handlers, without a service: models, actions, calls, and what becomes of errors."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel, Field, model_validator
from sutler.errors import Conflict, Invalid, SutlerError, Unavailable, Unimplemented
from sutler.handlers import ActionCall, Call, Data, FieldError, Found, Handler, action
from sutler.handlers import servicer as serving
from sutler.handlers.following import follow
from sutler.handlers.servicer import HandlerServicer
from sutler.resource.v1 import handler_pb2 as pb
from sutler.resource.v1 import resource_pb2
from sutler.wire import from_struct, timestamp, to_struct

P = TypeVar("P", bound=BaseModel)
KEY = "00000000-0000-4000-8000-000000000000"


class Disk(BaseModel):
    size: int = Field(1, ge=1)
    copies: list[int] = []

    @model_validator(mode="after")
    def _few_copies(self) -> "Disk":
        for index, copy in enumerate(self.copies):
            if copy > 9:
                raise FieldError(f"copies[{index}]", "at most 9", "COPIES")
        if len(self.copies) > 2:
            raise ValueError("too many copies")
        return self


class Disks(Handler[Disk]):
    """Does what a test sets ``work`` to."""

    work: Any = None
    hook: Any = None

    async def apply(self, call: Call[Disk]) -> Data:
        return await self.work(call) if self.work else None

    async def delete(self, call: Call[Disk]) -> None:
        await self.apply(call)

    async def read(self, call: Call[Disk]) -> Found:
        found: Any = await self.apply(call)
        return found

    async def after_apply(self, call: Call[Disk], outputs: Mapping[str, Any]) -> None:
        if self.hook:
            await self.hook(call)

    @action("resize-it", parameters=Disk)
    async def resize(self, call: ActionCall[Disk, Disk]) -> Data:
        """Makes it larger.

        Or smaller.
        """
        return {"size": call.parameters.size}


class Copies(Disks):
    """Inherits all."""

    @action()
    async def copy(self, call: ActionCall[Disk, BaseModel]) -> Data:
        return None


def disk(**properties: object) -> resource_pb2.Resource:
    return resource_pb2.Resource(name="disks/a", properties=to_struct(properties), outputs=to_struct({"id": 7}))


def context(**fields: Any) -> pb.HandlerContext:
    given = {"tenant": "t", "principal": "user:anna", "attempt": 1, "deadline_time": timestamp(2e9), **fields}
    return pb.HandlerContext(**given)


async def validated(handler: Handler[Any], **properties: object) -> list[tuple[str, str]]:
    change = pb.ValidateRequest.CHANGE_CREATE
    request = pb.ValidateRequest(context=context(), change=change, desired=disk(**properties))
    answer = await HandlerServicer(handler, _nothing).Validate(request, None)
    return [(violation.field, violation.reason) for violation in answer.violations]


async def applied(handler: Handler[Any], **properties: object) -> list[pb.ApplyResponse]:
    request = pb.ApplyRequest(context=context(fencing_token=5), idempotency_key=KEY, desired=disk(**properties))
    return [said async for said in HandlerServicer(handler, _nothing).Apply(request, None)]


def _nothing(resource: str) -> Any:
    return None


def doing(work: Any) -> Disks:
    handler = Disks()
    handler.work = work
    return handler


async def nothing(call: Call[Disk]) -> Data:
    return None


def test_the_model_is_that_of_the_nearest_class_that_names_one() -> None:
    class Narrow(Disk):
        pass

    class Own(Disks):
        Properties = Narrow

    class Below(Own):
        pass

    class Base(Handler[P]):
        pass

    class Made(Base[Narrow]):
        pass

    class Open(Handler[Any]):
        pass

    found = [each.Properties for each in (Disks, Copies, Own, Below, Made)]
    assert found == [Disk, Disk, Narrow, Narrow, Narrow]
    assert Open.Properties.model_validate({"a": 1}).model_dump() == {"a": 1}


def test_actions_are_declared_and_inherited() -> None:
    assert set(Disks.actions) == {"resize-it"}
    assert set(Copies.actions) == {"resize-it", "copy"}
    found = Copies.actions["resize-it"]
    assert (found.method, found.parameters, found.result, found.description) == (
        "resize",
        Disk,
        None,
        "Makes it larger.",
    )


def test_actions_that_cannot_be() -> None:
    with pytest.raises(TypeError):
        action()(lambda self, call: None)
    with pytest.raises(TypeError):
        action("not an id")(Disks.apply)
    with pytest.raises(TypeError):

        class Twice(Disks):
            @action("resize-it")
            async def other(self, call: ActionCall[Disk, BaseModel]) -> Data:
                return None


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ({}, []),
        ({"size": 0}, [("properties.size", "GREATER_THAN_EQUAL")]),
        (
            {"size": 0, "copies": ["x"]},
            [("properties.size", "GREATER_THAN_EQUAL"), ("properties.copies[0]", "INT_PARSING")],
        ),
        ({"copies": [1, 10]}, [("properties.copies[1]", "COPIES")]),
        ({"copies": [1, 2, 3]}, [("properties", "VALUE_ERROR")]),
    ],
)
async def test_models_end_as_violations(properties: dict[str, object], found: list[tuple[str, str]]) -> None:
    assert await validated(Disks(), **properties) == found


async def test_a_handler_refuses_by_raising_too() -> None:
    class Refusing(Disks):
        async def validate(self, call: Call[Disk]) -> None:
            raise Invalid("not on Sundays", reason="SUNDAY")

    assert await validated(Refusing()) == [("", "SUNDAY")]


async def test_an_action_that_is_not_there() -> None:
    change = pb.ValidateRequest.CHANGE_INVOKE
    servicer = HandlerServicer(Disks(), _nothing)
    request = pb.ValidateRequest(context=context(), change=change, desired=disk(), action="copy")
    assert [found.reason for found in (await servicer.Validate(request, None)).violations] == ["ACTION_UNKNOWN"]
    invoked = pb.ResourceHandlerInvokeActionRequest(context=context(), resource=disk(), action="copy")
    with pytest.raises(Unimplemented):
        _ = [said async for said in servicer.InvokeAction(invoked, None)]


async def test_an_action_by_the_name_of_its_method_and_by_its_id() -> None:
    servicer = HandlerServicer(Copies(), _nothing)
    for id, parameters, result in (("resize-it", {"size": 3}, {"size": 3}), ("copy", {}, {})):
        request = pb.ResourceHandlerInvokeActionRequest(
            context=context(), idempotency_key=KEY, resource=disk(), action=id, parameters=to_struct(parameters)
        )
        (said,) = [said async for said in servicer.InvokeAction(request, None)]
        assert from_struct(said.result.result) == result


async def test_progress_comes_before_the_result_and_all_of_it() -> None:
    async def work(call: Call[Disk]) -> Data:
        for percent in (-5, 50, 200):
            await call.progress(percent, "é" * 2000, {"percent": percent})
        return {"done": True}

    *progress, last = await applied(doing(work))
    assert [said.progress.progress_percent for said in progress] == [0, 50, 100]
    assert all(len(said.progress.step.encode()) <= 1024 for said in progress)
    assert [from_struct(said.progress.outputs) for said in progress] == [{"percent": each} for each in (-5, 50, 200)]
    assert from_struct(last.result.outputs) == {"done": True}


async def test_calls_without_effect_change_and_tell_nothing() -> None:
    async def work(call: Call[Disk]) -> Data:
        await call.progress(1)
        return None

    with pytest.raises(Unavailable):
        await HandlerServicer(doing(work), _nothing).Read(pb.ReadRequest(context=context(), desired=disk()), None)

    async def change(call: Call[Disk]) -> Data:
        await call.resources.delete("disks/b")
        return None

    with pytest.raises(Unavailable):
        await HandlerServicer(doing(change), _nothing).Read(pb.ReadRequest(context=context(), desired=disk()), None)


async def test_what_read_found() -> None:
    async def work(call: Call[Disk]) -> Any:
        assert call.outputs == {"id": 7}
        return Found("PARTIAL", Disk(size=2), "x" * 5000)

    answer = await HandlerServicer(doing(work), _nothing).Read(pb.ReadRequest(context=context(), desired=disk()), None)
    assert answer.presence == pb.ReadResponse.PRESENCE_PARTIAL
    assert from_struct(answer.outputs) == {"size": 2, "copies": []}
    assert len(answer.description) <= 1024


async def test_properties_that_the_model_does_not_accept() -> None:
    seen: list[Any] = []

    async def work(call: Call[Disk]) -> Data:
        seen.append(call.properties)
        return None

    with pytest.raises(Invalid) as caught:
        await applied(doing(work), size=0)
    assert [violation.field for violation in caught.value.violations] == ["properties.size"] and not seen
    request = pb.DeleteRequest(context=context(), idempotency_key=KEY, resource=disk(size=0, old=1))
    assert len([said async for said in HandlerServicer(doing(work), _nothing).Delete(request, None)]) == 1
    assert (seen[0].size, seen[0].copies) == (0, [])


@pytest.mark.parametrize("seen", [4, 5, 6])
async def test_a_late_caller_is_refused(seen: int) -> None:
    async def work(call: Call[Disk]) -> Data:
        call.check_fence(seen)
        return None

    if seen <= 5:
        assert len(await applied(doing(work))) == 1
    else:
        with pytest.raises(Conflict) as caught:
            await applied(doing(work))
        assert caught.value.reason == "LEASE_LOST"


async def test_a_bug_becomes_an_error_that_may_go_away_and_tells_nothing() -> None:
    async def work(call: Call[Disk]) -> Data:
        raise KeyError("secret")

    with pytest.raises(Unavailable) as caught:
        await applied(doing(work))
    assert caught.value.reason == "INTERNAL" and caught.value.metadata["incident"]
    assert "secret" not in caught.value.message


async def test_a_hook_that_hangs_is_ended_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HOOK_SECONDS", 0.01)
    handler = doing(nothing)
    handler.hook = lambda call: asyncio.Event().wait()
    (said,) = await applied(handler)
    assert [text.partition(" ")[0] for text in said.result.warnings] == ["after_apply"]


async def test_a_hook_that_fails_has_a_place_among_many_warnings() -> None:
    async def work(call: Call[Disk]) -> Data:
        for number in range(30):
            call.warn(f"{number}")
        return None

    async def fail(call: Call[Disk]) -> None:
        raise Conflict("no")

    handler = doing(work)
    handler.hook = fail
    (said,) = await applied(handler)
    assert len(said.result.warnings) == 20 and said.result.warnings[-1].startswith("after_apply")


async def test_the_cache_is_dropped_by_what_changes_the_resource_even_if_it_fails() -> None:
    looked: list[int] = []

    async def look() -> int:
        looked.append(1)
        return len(looked)

    async def work(call: Call[Disk]) -> Data:
        assert await handler.look_up(call, "n", look) == await handler.look_up(call, "n", look)
        raise Conflict("no")

    handler = doing(work)
    for calls in (1, 2):
        with pytest.raises(SutlerError):
            await applied(handler)
        assert (len(looked), len(handler.cache)) == (calls, 0)


async def test_resources_of_tenants_are_apart_in_the_cache_and_case_does_not_count() -> None:
    handler = Disks()
    seen: list[Call[Disk]] = []

    async def work(call: Call[Disk]) -> Any:
        seen.append(call)
        return Found("WHOLE")

    handler.work = work
    servicer = HandlerServicer(handler, _nothing)
    for tenant, name in (("a", "disks/x"), ("b", "disks/x"), ("a", "DISKS/X")):
        resource = resource_pb2.Resource(name=name)
        await servicer.Read(pb.ReadRequest(context=context(tenant=tenant), desired=resource), None)

    async def value(text: str) -> str:
        return text

    found = [await handler.look_up(call, "k", lambda n=n: value(n)) for n, call in zip("abc", seen, strict=True)]
    assert found == ["a", "b", "a"]


async def test_who_follows_no_more_ends_the_work() -> None:
    ended = asyncio.Event()

    async def work(tell: Any) -> str:
        try:
            await tell("begun")
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    news = follow(work)
    assert await anext(news) == "begun"
    await news.aclose()
    assert ended.is_set()


async def test_work_that_cancels_itself_is_no_cancel() -> None:
    async def work(tell: Any) -> str:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable):
        _ = [said async for said in follow(work)]


async def test_work_that_swallows_its_cancel_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sutler.handlers.following.END_SECONDS", 0.01)
    free, ended = asyncio.Event(), asyncio.Event()

    async def work(tell: Any) -> str:
        await tell("begun")
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        return ""

    news = follow(work)
    await anext(news)
    async with asyncio.timeout(5):
        await news.aclose()
        assert not ended.is_set()
        free.set()
        await ended.wait()
