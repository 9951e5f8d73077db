"""The base class of provider types that are written in Python."""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from sutler.errors import FailedPrecondition, Violation
from sutler.provider.v1 import plugin_pb2 as pb
from sutler.provider.v1 import provider_pb2

MachineState: TypeAlias = "provider_pb2.Machine.State.ValueType"


class NoConfig(BaseModel):
    """The config of a type that needs none."""

    model_config = ConfigDict(extra="forbid")


C = TypeVar("C", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[C]):
    """Who calls, and for which provider.

    Attributes:
        key: The same for a call and its repeats, and for nothing else.
        attempt: How often it was begun, 1 at first.
        config: The config of the provider, with defaults.
        provider: The name of the provider; empty where only the type is meant.
        region: The region to act in; the one of the machines, or all, if empty.
        tenant: The tenant on whose behalf it is.
        principal: The principal on whose behalf it is.
    """

    key: str
    attempt: int
    config: C
    provider: str
    region: str
    tenant: str
    principal: str


class ProviderType(ABC, Generic[C]):
    """A type of provider: ``class Acme(ProviderType[AcmeConfig])`` with a pydantic model of the config.

    One object serves all providers of the type and many calls at once, in the server's event loop: what blocks belongs
    into ``asyncio.to_thread``. It is a context manager: :meth:`__aenter__` and :meth:`__aexit__` hold what lives as
    long as the server. It may be called again with a key that was used before, and must do nothing twice.

    Errors are those of :mod:`sutler.errors`, with the reasons that the contract names. Any other exception is a bug:
    callers learn no more than where the log has it.

    Attributes:
        Config: The model; that of ``ProviderType[…]`` if the class does not say.
        type: Its name.
        display_name: A name for people.
        description: What it is for.
        version: The version of its code.
        apis: The ways in which it starts machines, the default one first; at least one.
        capabilities: What it can do beside its apis.
        regions: The regions that it knows; any may be named if empty.
        template_defaults: Values for what a template and its provider leave unset.
        example_configs: Configs to start from.
        example_templates: Templates to start from.
    """

    Config: ClassVar[type[BaseModel]] = NoConfig
    type: ClassVar[str]
    display_name: ClassVar[str] = ""
    description: ClassVar[str] = ""
    version: ClassVar[str] = "1"
    apis: ClassVar[Sequence[provider_pb2.ProviderApi]] = ()
    capabilities: ClassVar[Sequence[provider_pb2.Capability.ValueType]] = ()
    regions: ClassVar[Sequence[str]] = ()
    template_defaults: ClassVar[provider_pb2.Template] = provider_pb2.Template()
    example_configs: ClassVar[Sequence[BaseModel]] = ()
    example_templates: ClassVar[Sequence[provider_pb2.Template]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in vars(cls).get("__orig_bases__", ()):
            if "Config" not in vars(cls) and typing.get_origin(base) is ProviderType:
                model = typing.get_args(base)[0]
                if not isinstance(model, TypeVar):
                    cls.Config = model

    async def __aenter__(self) -> Self:
        """Begins its life. Must not wait for what may be down: that would leave the type out."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Ends it, when no call is open any more."""

    def check_template(self, config: C, template: provider_pb2.Template) -> Iterable[Violation]:
        """Returns what is wrong with a template, with fields as ``image``, without calling anybody."""
        return ()

    async def check_there(self, call: Call[C], template: provider_pb2.Template) -> Iterable[Violation]:
        """Returns what is wrong with a template at the provider, such as an image that does not exist."""
        return ()

    @abstractmethod
    def provision(self, call: Call[C], wish: pb.ProvisionRequest) -> AsyncIterator[pb.ProvisionResponse]:
        """Starts machines and yields them as they come; the last message has the verdict, and only the last."""

    @abstractmethod
    async def terminate(
        self, call: Call[C], machine: pb.PluginMachineKey, *, force: bool, grace: float
    ) -> MachineState:
        """Ends a machine for good, or finds that there is none, and returns where it stands.

        Args:
            call: Who calls.
            machine: Which machine.
            force: Whether not to wait for it.
            grace: Seconds that it may take to end by itself.
        """

    @abstractmethod
    async def list(self, call: Call[C]) -> Sequence[pb.PluginMachine]:
        """Returns the machines that a provider has now; an outage is an error, never an empty list."""

    async def start(self, call: Call[C], machine: pb.PluginMachineKey) -> MachineState:
        """Starts a machine that is stopped, or finds that it runs, and returns where it stands."""
        raise self.cannot("START_STOP")

    async def stop(self, call: Call[C], machine: pb.PluginMachineKey, *, force: bool) -> MachineState:
        """Stops a machine, or finds that it is stopped, and returns where it stands."""
        raise self.cannot("START_STOP")

    async def check(self, call: Call[C]) -> pb.CheckResponse:
        """Calls the provider and says how it is."""
        return pb.CheckResponse(state=provider_pb2.Provider.STATE_HEALTHY)

    def cannot(self, capability: str) -> FailedPrecondition:
        """Returns the error for what this type cannot do (CAPABILITY_MISSING)."""
        return FailedPrecondition(
            f"the type {self.type} has no capability {capability}; ask another provider",
            reason="CAPABILITY_MISSING",
            metadata={"type": self.type, "capability": capability},
        )
