"""The RPCs as the rules of the state machine call them: each makes a request, and says what the model makes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.conftest import Server
from tests.integration.resource.model import Kind, Model, Piece, Wish, Work, driver, key
from tests.integration.resource.model.session import Session
from tests.integration.resource.model.strategies import SCOPES

NOWHERE = ("subscriptions/none", "subscriptions/x/providers/Custom.Org/servers/none")
SELDOM = 12
"""One of so many picks is of something that does not exist."""


class Calls(RuleBasedStateMachine):
    """A session, and every change that can be made in it.

    Attributes:
        loop: Where all happens.
        server: The service.
        reached: How often each RPC was answered, and each kind of operation ended, with each reason.
    """

    loop: asyncio.AbstractEventLoop
    server: Server
    reached: Counter[tuple[str, str]]

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(self.server)
        self.run(self.session.open())

    @property
    def model(self) -> Model:
        return self.session.model

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def name(self, pick: int) -> str:
        """One of the names that there are, or seldom of some that there are not."""
        names = [thing.name for _, thing in sorted(self.model.things.items())]
        return names[pick % len(names)] if names and pick % SELDOM else NOWHERE[pick % len(NOWHERE)]

    def one_of(self, pick: int, type: str) -> str:
        """One of the names that there are of a type; any if there is none."""
        names = [thing.name for _, thing in sorted(self.model.things.items()) if thing.type == type]
        return names[pick % len(names)] if names else self.name(pick)

    def scope(self, pick: int) -> str:
        """One of the scopes, seldom one that is not there."""
        there = [scope for scope in SCOPES if not scope or key(scope) in self.model.things]
        return there[pick % len(there)] if pick % SELDOM else SCOPES[pick % len(SCOPES)]

    def type_of(self, name: str) -> str:
        found = self.model.things.get(key(name))
        return found.type if found else ""

    def etag(self, name: str, fresh: bool | None) -> str:
        found = {**self.session.seen, **self.session.stacks}.get(key(name))
        if fresh is None or (fresh and found is None):
            return ""
        return found.etag if fresh and found is not None else '"stale"'

    def change(self, method: str, request: Any, predict: Callable[[Model], Any]) -> None:
        if hasattr(request, "request_id"):
            request.request_id = self.session.request_id()
        self.note(method, self.run(self.session.change(method, request, predict)))

    def note(self, method: str, reason: str) -> None:
        self.reached[method, reason or "accepted"] += 1

    def create(self, parent: str, type: str, id: str, wish: Wish, only: bool = False) -> None:
        resource = driver.resource(wish, type=type)
        request = pb.CreateResourceRequest(parent=parent, resource_id=id, resource=resource, validate_only=only)
        self.change("CreateResource", request, lambda model: model.create(parent, type, id, wish, only=only))

    def update(self, name: str, wish: Wish, mask: tuple[str, ...] | None, **options: Any) -> None:
        fresh, missing, only = options.get("fresh"), options.get("missing", False), options.get("only", False)
        sent = {"type": self.type_of(name), "etag": self.etag(name, fresh), "soon": self.session.soon(name)}
        request = driver.update(name, wish, mask, allow_missing=missing, validate_only=only, **sent)
        good = fresh is not False
        predict = lambda model: model.update(name, wish, mask, fresh=good, missing=missing, only=only)  # noqa: E731
        self.change("UpdateResource", request, predict)

    def delete(
        self, name: str, force: bool = False, missing: bool = False, fresh: bool | None = None, only: bool = False
    ) -> None:
        request = pb.DeleteResourceRequest(name=name, force=force, allow_missing=missing, validate_only=only)
        request.etag, good = self.etag(name, fresh), fresh is not False
        predict = lambda model: model.delete(name, fresh=good, missing=missing, force=force, only=only)  # noqa: E731
        self.change("DeleteResource", request, predict)

    def invoke(self, name: str, action: str, parameters: dict[str, Any], fresh: bool | None, only: bool) -> None:
        request = pb.InvokeActionRequest(name=name, action=action, etag=self.etag(name, fresh), validate_only=only)
        request.parameters.update(parameters)
        good = fresh is not False
        predict = lambda model: model.invoke(name, action, parameters, fresh=good, only=only)  # noqa: E731
        self.change("InvokeAction", request, predict)

    def put_type(self, kind: Kind, *, new: bool = False, missing: bool = False, only: bool = False) -> None:
        message = driver.resource_type(kind, self.session.handler)
        request: Any
        if new:
            id = message.name.removeprefix("resourceTypes/")
            request = pb.CreateResourceTypeRequest(resource_type_id=id, resource_type=message, validate_only=only)
        else:
            request = pb.UpdateResourceTypeRequest(
                resource_type=message, update_mask=driver.mask_of(("*",)), allow_missing=missing, validate_only=only
            )
        method = "CreateResourceType" if new else "UpdateResourceType"
        self.change(method, request, lambda model: model.put_kind(kind, new=new, missing=missing, only=only))

    def drop_type(self, type: str, missing: bool, only: bool) -> None:
        name = f"resourceTypes/{type.replace('/', '.')}"
        request = pb.DeleteResourceTypeRequest(name=name, allow_missing=missing, validate_only=only)
        self.change("DeleteResourceType", request, lambda model: model.drop_kind(type, missing=missing, only=only))

    def apply_stack(
        self, name: str, scope: str, pieces: tuple[Piece, ...], policy: str, fresh: bool | None, only: bool
    ) -> None:
        stack, good = driver.stack(name, scope, pieces, policy, self.etag(name, fresh)), fresh is not False
        if only:
            plan = lambda model: model.apply_stack(name, scope, pieces, policy, fresh=good, only=True)  # noqa: E731
            self.change("PreviewStack", pb.PreviewStackRequest(stack=stack), plan)
        request = pb.ApplyStackRequest(stack=stack, validate_only=only)
        predict = lambda model: model.apply_stack(name, scope, pieces, policy, fresh=good, only=only)  # noqa: E731
        self.change("ApplyStack", request, predict)

    def delete_stack(self, name: str, force: bool, missing: bool, fresh: bool | None, only: bool) -> None:
        request = pb.DeleteStackRequest(name=name, force=force, allow_missing=missing, validate_only=only)
        request.etag, good = self.etag(name, fresh), fresh is not False
        predict = lambda model: model.delete_stack(name, fresh=good, missing=missing, force=force, only=only)  # noqa: E731
        self.change("DeleteStack", request, predict)

    def end_work(self, work: Work, method: str) -> None:
        self.note(f"{method.title()}Operation", self.run(self.session.end(work, method)))

    def teardown(self) -> None:
        self.run(self.session.close())
        for (verb, reason), times in self.session.ends.items():
            self.reached[f"end of {verb}", reason or "succeeded"] += times
