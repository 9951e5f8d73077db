"""Plug-ins for tests, installed as a package of their own: one that does as the properties say, and broken ones."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator
from sutler.errors import FailedPrecondition, Unavailable
from sutler.handlers import ActionCall, Call, Data, FieldError, Found, Handler, action

ENTRY_POINTS = """
[sutler.handlers]
probe = tests.integration.resource.plugins:Probe
plain = tests.integration.resource.plugins:Plain
missing = tests.integration.resource.no_such_module:Nothing
unready = tests.integration.resource.plugins:Unready
stranger = tests.integration.resource.plugins:Wish
"""
TWIN = """
[sutler.handlers]
twin = tests.integration.resource.plugins:Plain
"""


class Wish(BaseModel):
    """What the probe shall do."""

    model_config = ConfigDict(extra="forbid")

    behave: str = "ok"
    hook: str = ""
    end: str = "ok"
    presence: str = "ABSENT"
    size: int = 1
    tier: str = "basic"
    lists: list[str] = []
    unfit: bool = False

    @field_validator("tier")
    @classmethod
    def _known(cls, tier: str) -> str:
        if tier.lower() not in ("basic", "geo"):
            raise ValueError("is basic or geo")
        return tier.lower()

    @model_validator(mode="after")
    def _geo_is_large(self) -> Self:
        if self.tier == "geo" and self.size < 3:
            raise FieldError("size", "is at least 3 for geo", "TIER")
        return self


class Made(BaseModel):
    """The outputs."""

    size: int


class Grow(BaseModel):
    """What the action ``grow`` is given."""

    by: int = 1


class Probe(Handler[Wish]):
    """Does as the properties say, and remembers its calls."""

    Outputs = Made
    calls: ClassVar[list[tuple[str, Call[Any]]]] = []
    ended: ClassVar[list[tuple[str, str]]] = []
    open: ClassVar[dict[str, int]] = {}
    most: ClassVar[dict[str, int]] = {}
    release: ClassVar[asyncio.Event] = asyncio.Event()
    lives: ClassVar[list[str]] = []

    async def __aenter__(self) -> Self:
        self.lives.append("begun")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.lives.append("ended")

    async def validate(self, call: Call[Wish]) -> None:
        self.calls.append(("validate", call))
        if call.properties.behave == "cannot tell":
            raise RuntimeError("a secret")
        if call.properties.unfit:
            call.reject("properties.size", "no room", "CAPACITY")
            call.reject("properties.tier", "no such tier here")
        call.plan("CREATE", "probes", count=call.properties.size)

    async def validate_action(self, call: ActionCall[Wish, Grow]) -> None:
        if call.parameters.by > 100:
            call.reject("parameters.by", "too fast", "SPEED")

    async def apply(self, call: Call[Wish]) -> Data:
        self.calls.append(("apply", call))
        self.open[call.tenant] = self.open.get(call.tenant, 0) + 1
        self.most[call.tenant] = max(self.most.get(call.tenant, 0), self.open[call.tenant])
        try:
            return await self._made(call)
        finally:
            self.open[call.tenant] -= 1

    async def _made(self, call: Call[Wish]) -> Data:
        behave, _, more = call.properties.behave.partition(":")
        if behave == "busy" and call.attempt <= int(more):
            await call.progress(10, "looking", {"size": 0})
            raise Unavailable("busy", reason="BUSY", retry_after=timedelta(milliseconds=20))
        if behave == "bug" and call.attempt <= int(more):
            raise RuntimeError("a secret")
        if behave == "final":
            raise FailedPrecondition("no", reason="NO_CAPACITY")
        if behave == "cancels itself" and call.attempt == 1:
            raise asyncio.CancelledError
        if behave == "hang":
            await call.progress(30, "hanging", {"size": 0})
            try:
                await self.release.wait()
            finally:
                self.ended.append((call.tenant, call.name))
        if behave == "no json":
            return {"size": object()}
        if behave == "make":
            return await self._others(call, more)
        if behave == "wait":
            parent = call.name.rpartition("/providers/")[0]
            await call.resources.create(parent, "made", more, {"behave": "hang"})
        await call.progress(60, "making")
        return Made(size=call.properties.size)

    async def _others(self, call: Call[Wish], type: str) -> Data:
        parent = call.name.rpartition("/providers/")[0]
        first = await call.resources.create(parent, "made", type, {"size": call.properties.size}, tags={"by": "probe"})
        assert (await call.resources.get(first.name)).uid == first.uid
        if call.attempt == 1:
            raise Unavailable("after the first was made")
        return Made(size=call.properties.size)

    async def delete(self, call: Call[Wish]) -> None:
        self.calls.append(("delete", call))
        if call.properties.behave.startswith("make"):
            await call.resources.delete(f"{call.name.rpartition('/providers/')[0]}/{call.properties.end}")
        if call.properties.end == "bug" and call.attempt == 1:
            raise RuntimeError("a secret")

    async def read(self, call: Call[Wish]) -> Found:
        self.calls.append(("read", call))
        presence: Any = call.properties.presence
        return Found(presence, Made(size=call.properties.size) if presence == "WHOLE" else None, "half of it")

    @action(parameters=Grow)
    async def grow(self, call: ActionCall[Wish, Grow]) -> dict[str, Any]:
        """Grows it."""
        self.calls.append(("grow", call))
        size = call.outputs["size"] + call.parameters.by
        await call.progress(50, "growing", Made(size=size))
        for _ in range(3):
            await self.look_up(call, "size", lambda: self._look(call))
        return {"size": size}

    async def _look(self, call: Call[Wish]) -> None:
        self.calls.append(("look", call))

    async def before_apply(self, call: Call[Wish]) -> None:
        self._fail(call, "before_apply")

    async def after_apply(self, call: Call[Wish], outputs: Mapping[str, Any]) -> None:
        assert outputs["size"] == call.properties.size
        self._fail(call, "after_apply")

    async def before_delete(self, call: Call[Wish]) -> None:
        self._fail(call, "before_delete")

    async def after_delete(self, call: Call[Wish]) -> None:
        self._fail(call, "after_delete")

    async def before_action(self, call: ActionCall[Wish, Any]) -> None:
        self._fail(call, "before_action")

    async def after_action(self, call: ActionCall[Wish, Any], result: Mapping[str, Any]) -> None:
        self._fail(call, "after_action")

    def _fail(self, call: Call[Wish], hook: str) -> None:
        self.calls.append((hook, call))
        if call.properties.hook == hook:
            raise FailedPrecondition(f"{hook} says no", reason="HOOK")
        if call.properties.hook == f"bug in {hook}":
            raise RuntimeError("a secret")


class Plain(Handler[Any]):
    """Has no model, no outputs and no actions."""

    async def apply(self, call: Call[Any]) -> Data:
        return None

    async def delete(self, call: Call[Any]) -> None:
        """There is nothing."""

    async def read(self, call: Call[Any]) -> Found:
        return Found("WHOLE")


class Unready(Plain):
    """Cannot begin."""

    async def __aenter__(self) -> Self:
        raise OSError("/a/secret/path")


@asynccontextmanager
async def packages(folder: Path) -> AsyncIterator[None]:
    """Installs the plug-ins of this file for this process: three packages, of which two offer the same."""
    for name, text in (("probes", ENTRY_POINTS), ("twin-a", TWIN), ("twin-b", TWIN)):
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(text)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
