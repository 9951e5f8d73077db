"""A state machine makes random changes through a real channel, and a plain model says what each of them must lead to.

The short run is part of the suite and always the same. The long one (``make crash``) takes new examples each time,
from a seed that it prints; ``SEED=…`` repeats one.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.conftest import Server, everywhere
from tests.integration.resource.model import Kind, Wish, driver
from tests.integration.resource.model.session import Session
from tests.integration.resource.model.things import GROUPS, RESOURCE_GROUPS, SUBSCRIPTIONS, Version, key

SERVERS, DATABASES, MACHINES = "Custom.Org/servers", "Custom.Org/servers/databases", "Custom.Org/machines"
SCOPES = (
    "",
    "managementGroups/a",
    "managementGroups/b",
    "subscriptions/x",
    "subscriptions/y",
    "subscriptions/x/resourceGroups/g",
    "subscriptions/X/resourceGroups/h",
)
FIRST = (
    ("subscriptions/x", RESOURCE_GROUPS, "g"),
    ("subscriptions/x", SERVERS, "one"),
    ("subscriptions/x/providers/Custom.Org/servers/one", DATABASES, "two"),
    ("subscriptions/x/resourceGroups/g", MACHINES, "one"),
    ("managementGroups/a", SERVERS, "two"),
)
NOWHERE = ("subscriptions/none", "subscriptions/x/providers/Custom.Org/servers/none")
FIELDS = ("properties", "tags", "references", "lock", "expires", "version")

picks = st.sampled_from(range(60))
ids = st.sampled_from(["one", "two", "ONE"])
types = st.sampled_from([SERVERS, SERVERS, SERVERS, SERVERS, DATABASES, RESOURCE_GROUPS, "Custom.Org/unknown"])
own_types = st.sampled_from([SERVERS, DATABASES, MACHINES])
mostly = st.sampled_from([True, True, True, False])
rarely = st.sampled_from([False, False, False, False, False, True])
behaviours = st.sampled_from(["ok", "ok", "final", "hang", "hang"])
outcomes = st.sampled_from(["ok", "outputs", "final", "hang"])
properties = st.fixed_dictionaries(
    {"size": st.sampled_from([1, 2, 3, 4, 5, 8, 9, "big"])},
    optional={
        "tier": st.sampled_from(["a", "a", "a", "b"]),
        "label": st.sampled_from([" Red ", "blue"]),
    },
)
handled = st.fixed_dictionaries(
    {
        "behave": behaviours,
        "end": behaviours,
        "presence": st.sampled_from(["ABSENT", "PARTIAL", "WHOLE"]),
        "count": st.sampled_from([1, 2]),
    },
)
masks = st.one_of(st.none(), st.just(("*",)), st.lists(st.sampled_from(FIELDS), min_size=1, unique=True).map(tuple))
locks = st.sampled_from(["", "", "", "", "NONE", "CAN_NOT_DELETE", "READ_ONLY"])
versions = st.builds(
    Version,
    name=st.sampled_from(["v1", "v2"]),
    maximum=st.sampled_from([4, 10]),
    rules=st.sets(st.sampled_from(["no-three", "grows"])).map(sorted).map(tuple),
    retired=rarely,
)
scopes = st.frozensets(st.integers(1, 5), max_size=3)


def kinds(type: str) -> st.SearchStrategy[Kind]:
    several = st.lists(versions, min_size=1, max_size=2, unique_by=lambda version: version.name).map(tuple)
    places = st.one_of(st.just(frozenset()), st.frozensets(st.integers(1, 4), min_size=3))
    if type == DATABASES:
        places = st.just(frozenset())
    return st.builds(Kind, st.just(type), several, scopes, places, st.just(type == MACHINES))


class Machine(RuleBasedStateMachine):
    """The rules. Another kind of change is a method here, and what it leads to one of the model."""

    loop: asyncio.AbstractEventLoop
    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(self.server)
        self.model = self.session.model
        self.run(self.session.open())

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def name(self, pick: int) -> str:
        """One of the names that there are, or of some that there are not."""
        names = [thing.name for _, thing in sorted(self.model.things.items())] + list(NOWHERE)
        return names[pick % len(names)]

    def one_of(self, pick: int, type: str) -> str:
        """One of the names that there are of a type; any if there is none."""
        names = [thing.name for _, thing in sorted(self.model.things.items()) if thing.type == type]
        return names[pick % len(names)] if names else self.name(pick)

    def etag(self, name: str, fresh: bool | None) -> str:
        found = self.session.seen.get(key(name))
        return "" if fresh is None else found.etag if found and fresh else '"stale"'

    def change(self, method: str, request: Any, predict: Callable[[], Any]) -> None:
        if hasattr(request, "request_id"):
            request.request_id = self.session.request_id()
        self.run(self.session.change(method, request, predict))

    def create(self, parent: str, type: str, id: str, wish: Wish, only: bool = False) -> None:
        request = pb.CreateResourceRequest(
            parent=parent, resource_id=id, resource=driver.resource(wish, type=type), validate_only=only
        )
        self.change("CreateResource", request, lambda: self.model.create(parent, type, id, wish, only=only))

    def update(self, name: str, wish: Wish, mask: tuple[str, ...] | None, **options: Any) -> None:
        fresh, missing, only = options.get("fresh"), options.get("missing", False), options.get("only", False)
        etag = self.etag(name, fresh)
        request = driver.update(
            name, wish, mask, type=self.type_of(name), etag=etag, allow_missing=missing, validate_only=only
        )
        predict = lambda: self.model.update(name, wish, mask, fresh=fresh is not False, missing=missing, only=only)  # noqa: E731
        self.change("UpdateResource", request, predict)

    def type_of(self, name: str) -> str:
        found = self.model.things.get(key(name))
        return found.type if found else ""

    @initialize(servers=kinds(SERVERS), databases=kinds(DATABASES), machines=kinds(MACHINES))
    def begin(self, servers: Kind, databases: Kind, machines: Kind) -> None:
        for kind in (servers, databases, machines):
            self.put_type(kind, new=True)
        for group in "ab":
            self.create("", GROUPS, group, Wish())
        for subscription in "xy":
            self.create("", SUBSCRIPTIONS, subscription, Wish())
        for parent, type, id in FIRST:
            self.create(parent, type, id, Wish())

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
        self.change(method, request, lambda: self.model.put_kind(kind, new=new, missing=missing, only=only))

    @rule(where=picks, type=types, id=ids, properties=properties, only=rarely)
    def create_one(self, where: int, type: str, id: str, properties: dict[str, Any], only: bool) -> None:
        self.create(SCOPES[where % len(SCOPES)], type, id, Wish({} if type == RESOURCE_GROUPS else properties), only)

    @rule(pick=picks, id=ids, properties=properties)
    def create_database(self, pick: int, id: str, properties: dict[str, Any]) -> None:
        self.create(self.one_of(pick, SERVERS), DATABASES, id, Wish(properties))

    @rule(where=picks, id=ids, properties=handled)
    def create_machine(self, where: int, id: str, properties: dict[str, Any]) -> None:
        self.create(SCOPES[where % len(SCOPES)], MACHINES, id, Wish(properties))

    @rule(pick=picks, properties=handled)
    def update_machine(self, pick: int, properties: dict[str, Any]) -> None:
        self.update(self.one_of(pick, MACHINES), Wish(properties), None)

    @rule(pick=picks, properties=properties, mask=masks, fresh=st.sampled_from([None, None, True, False]), only=rarely)
    def update_one(
        self, pick: int, properties: dict[str, Any], mask: tuple[str, ...] | None, fresh: bool | None, only: bool
    ) -> None:
        self.update(self.name(pick), Wish(properties, {"team": "a"}), mask, fresh=fresh, only=only)

    @rule(pick=picks, name=st.sampled_from(["size", "label", "tier"]))
    def forget(self, pick: int, name: str) -> None:
        self.update(self.name(pick), Wish({name: None}), None)

    @rule(pick=picks, type=st.sampled_from([SERVERS, MACHINES]), id=ids, properties=properties)
    def apply(self, pick: int, type: str, id: str, properties: dict[str, Any]) -> None:
        scope = SCOPES[pick % len(SCOPES)]
        name = f"{scope}/providers/{type}/{id}".lstrip("/")
        self.update(name, Wish(properties, version="v1"), None, missing=True)

    @rule(pick=picks, lock=locks)
    def lock(self, pick: int, lock: str) -> None:
        self.update(self.name(pick), Wish(lock=lock), ("lock",))

    @rule(pick=picks, others=st.lists(picks, max_size=2))
    def refer(self, pick: int, others: list[int]) -> None:
        names = tuple(dict.fromkeys(self.name(other) for other in others))
        self.update(self.name(pick), Wish(references=names), ("references",))

    @rule(pick=picks, group=st.sampled_from(["", "managementGroups/a", "managementGroups/b"]), only=rarely)
    def move(self, pick: int, group: str, only: bool) -> None:
        name = (*SCOPES[1:5], "managementGroups/none")[pick % 5]
        self.update(name, Wish({"management_group": group or None}), None, only=only)

    @rule(pick=picks, expires=st.sampled_from(["past", "past", "future", ""]))
    def expire(self, pick: int, expires: str) -> None:
        name = self.one_of(pick, SERVERS if pick % 2 else DATABASES)
        if self.type_of(name) in (SERVERS, DATABASES):
            self.update(name, Wish(expires=expires), ("expires",))

    @rule(pick=picks, force=st.booleans(), missing=rarely, fresh=st.sampled_from([None, None, False]), only=rarely)
    def delete_one(self, pick: int, force: bool, missing: bool, fresh: bool | None, only: bool) -> None:
        name = self.name(pick)
        request = pb.DeleteResourceRequest(
            name=name, force=force, allow_missing=missing, etag=self.etag(name, fresh), validate_only=only
        )
        predict = lambda: self.model.delete(name, fresh=fresh is None, missing=missing, force=force, only=only)  # noqa: E731
        self.change("DeleteResource", request, predict)

    @rule(
        pick=picks, action=mostly, behave=st.sampled_from(["ok", "outputs", "final", "hang"]), odd=rarely, only=rarely
    )
    def invoke(self, pick: int, action: bool, behave: str, odd: bool, only: bool) -> None:
        name = self.one_of(pick, MACHINES)
        id, parameters = "restart" if action else "explode", {"behave": behave, **({"odd": 1} if odd else {})}
        request = pb.InvokeActionRequest(name=name, action=id, validate_only=only)
        request.parameters.update(parameters)
        self.change("InvokeAction", request, lambda: self.model.invoke(name, id, parameters, only=only))

    @precondition(lambda self: self.session.works)
    @rule(pick=picks, method=st.sampled_from(["cancel", "abandon"]))
    def end(self, pick: int, method: str) -> None:
        hanging = [work for work in self.session.works if not work.ended]
        works = [*hanging, *hanging, *self.session.works[-3:]]
        self.run(self.session.end(works[pick % len(works)], method))

    @rule(kind=own_types.flatmap(kinds), new=rarely, missing=mostly, only=rarely)
    def change_type(self, kind: Kind, new: bool, missing: bool, only: bool) -> None:
        self.put_type(kind, new=new, missing=missing, only=only)

    @rule(type=st.sampled_from([SERVERS, DATABASES, MACHINES, GROUPS]), missing=rarely, only=rarely)
    def delete_type(self, type: str, missing: bool, only: bool) -> None:
        name = f"resourceTypes/{type.replace('/', '.')}"
        request = pb.DeleteResourceTypeRequest(name=name, allow_missing=missing, validate_only=only)
        self.change("DeleteResourceType", request, lambda: self.model.drop_kind(type, missing=missing, only=only))

    @precondition(lambda self: self.session.sent)
    @rule(pick=picks)
    def repeat(self, pick: int) -> None:
        self.run(self.session.repeat(*self.session.sent[-1 - pick % len(self.session.sent)]))

    def teardown(self) -> None:
        self.run(self.session.close())


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def machine(loop: asyncio.AbstractEventLoop, server: Server) -> type[Machine]:
    return type("ResourceMachine", (Machine,), {"loop": loop, "server": server})


def bounds(examples: int, steps: int, *, repeatable: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=repeatable,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@everywhere
@pytest.mark.timeout(180)
def test_the_service_does_as_the_model_says(loop: asyncio.AbstractEventLoop, server: Server) -> None:
    examples = 25 if server.engine == "sqlite" else 4
    run_state_machine_as_test(machine(loop, server), settings=bounds(examples, 50, repeatable=True))


@everywhere
@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_the_service_does_as_the_model_says_for_long(loop: asyncio.AbstractEventLoop, server: Server) -> None:
    number = int(os.environ.get("SEED") or random.randrange(10**6))
    print(f"SEED={number}")
    examples = int(os.environ.get("EXAMPLES") or 150)
    found = bounds(examples if server.engine == "sqlite" else examples // 4, 80, repeatable=False)
    run_state_machine_as_test(seed(number)(machine(loop, server)), settings=found)
