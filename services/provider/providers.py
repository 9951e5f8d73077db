"""What a provider is: one account, cluster or host that has machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from sutler.errors import SutlerError

from services.provider.diagnostics import Diagnostic
from services.provider.templates import Template

COLLECTION = "providers"


class ProviderState(IntEnum):
    """How well a provider can be used; the numbers of the contract."""

    STARTING = 1
    HEALTHY = 2
    DEGRADED = 3
    UNHEALTHY = 4
    DISABLED = 5


class Capability(IntEnum):
    """What a provider or one of its apis can do; the numbers of the contract."""

    START_STOP = 1
    WEIGHTS = 2
    CLIENT_TOKEN = 3
    GROUPS = 4
    ASYNCHRONOUS = 5
    SELECTIVE_RETURN = 6
    TAGS = 7
    OUTPUT = 12
    DISCOVERY = 15


class TypeSource(IntEnum):
    """Where a type comes from; the numbers of the contract."""

    BUILT_IN = 1
    PACKAGE = 2
    PLUGIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider. Times are seconds since 1970, None where not set.

    Attributes:
        tenant: Whose it is.
        name: Its resource name.
        uid: Tells it from an earlier one of the same name.
        type: What kind of provider it is.
        display_name: A name for people.
        config: How to reach and use it, defaults filled in.
        regions: Where to start machines, the preferred region first.
        enabled: Whether new machines may come from it; None, where not set, is yes.
        priority: Its place in the order of preference: the lowest goes first.
        weight: Its share; None where not set.
        max_machines: The most machines that may live here at once; no limit if 0.
        template_defaults: Values for what a template of it leaves unset.
        state: How well it can be used, as it was found last; DISABLED while it is not enabled.
        state_reason: Why, for people.
        check_time: When it was last called to find its state.
        reconcile_time: When it was last reconciled to the end.
        create_time: When it was created.
        update_time: When it last changed.
        revision: Grows with every change.
    """

    tenant: str
    name: str
    uid: str
    type: str
    display_name: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    enabled: bool | None = None
    priority: int = 0
    weight: int | None = None
    max_machines: int = 0
    template_defaults: Template | None = None
    state: ProviderState = ProviderState.STARTING
    state_reason: str = ""
    check_time: float | None = None
    reconcile_time: float | None = None
    create_time: float = 0.0
    update_time: float = 0.0
    revision: int = 0

    @property
    def usable(self) -> bool:
        """Whether new machines may come from it."""
        return self.enabled is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFacts:
    """One way in which a type starts machines.

    Attributes:
        api: Its name.
        display_name: A name for people.
        description: What it is good for and what it cannot do.
        capabilities: What it can do.
        max_count: The most machines that one call may ask for; no limit if 0.
    """

    api: str
    display_name: str
    description: str
    capabilities: tuple[Capability, ...]
    max_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeFacts:
    """What a type of provider is and can do.

    Attributes:
        type: Its name.
        display_name: A name for people.
        description: What it is for.
        version: The version of its code.
        config_schema: The JSON Schema of :attr:`Provider.config`, with defaults.
        apis: The ways in which it starts machines, the default one first.
        capabilities: What it can do beside its apis.
        regions: The regions that it knows; any may be named if empty.
        template_defaults: Values for what a template and its provider leave unset.
        example_configs: Configs to start from.
        example_templates: Templates to start from.
        source: Where it comes from.
        takes: The fields of templates that it takes beside those that every type takes.
        error: Why it cannot be used now; None if it can.
        known: Whether it has ever said what it is; until then nothing new is accepted for it.
    """

    type: str
    display_name: str
    description: str
    version: str
    config_schema: Mapping[str, Any]
    apis: tuple[ApiFacts, ...]
    capabilities: tuple[Capability, ...]
    regions: tuple[str, ...]
    template_defaults: Template
    example_configs: tuple[Mapping[str, Any], ...] = ()
    example_templates: tuple[Template, ...] = ()
    source: TypeSource = TypeSource.BUILT_IN
    takes: frozenset[str] = frozenset()
    error: SutlerError | None = None
    known: bool = True

    def can(self, capability: Capability) -> bool:
        """Returns whether it, or one of its apis, can do something."""
        return capability in self.capabilities or any(capability in api.capabilities for api in self.apis)

    def check_known(self) -> None:
        """Checks that it has said what it is.

        Raises:
            SutlerError: Why it has not (DEPENDENCY_UNAVAILABLE, PLUGIN_INVALID).
        """
        if not self.known and self.error is not None:
            raise self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What a call to a provider found.

    Attributes:
        state: The state that follows.
        state_reason: Why, for people.
        identity: As whom the provider knows us.
        version: The version of the provider's side.
        latency: Seconds that it took to answer.
        diagnostics: What went wrong.
    """

    state: ProviderState
    state_reason: str = ""
    identity: str = ""
    version: str = ""
    latency: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = ()
