"""What a template is: the description of a machine, and what fills in what it leaves unset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.provider.cost.money import Money

COLLECTION = "templates"


@dataclass(frozen=True, slots=True)
class Output:
    """How the output of a machine is kept; 0 is the type's default.

    Attributes:
        max_file_bytes: In steps of how many bytes old output is discarded.
        max_files: How many of these steps are kept.
    """

    max_file_bytes: int = 0
    max_files: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """What a machine is that is an operating-system process.

    Attributes:
        command: The program and its arguments; empty where unset.
        working_directory: Where it runs; a new folder of its own if empty.
        environment: Its environment, beside what every machine gets.
        memory_bytes: The most address space; no limit if 0.
        open_files: The most open files; no limit of its own if 0.
        output: How its output is kept.
        stop_signal: The signal that asks it to end; empty where unset.
        stop_grace: Seconds that it may take to end; None where unset.
    """

    command: tuple[str, ...] = ()
    working_directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 0
    open_files: int = 0
    output: Output = Output()
    stop_signal: str = ""
    stop_grace: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a machine is and where it may come from. Times are seconds since 1970.

    Attributes:
        tenant: Whose it is; empty in defaults.
        name: Its resource name; empty in defaults.
        uid: Tells it from an earlier one of the same name.
        display_name: A name for people.
        description: What it is for.
        provider: The provider that gives the machines; empty if one is selected.
        provider_type: The type that a selected provider must have; any if empty.
        api: Which of the provider's ways to start machines is used; the first if empty.
        regions: Where to start machines, the preferred region first.
        max_machines: The most machines of it that may live at once; no limit if 0.
        max_count: The most that one request may ask for; the service's limit if 0.
        max_price: The most that one machine may cost for one hour; no limit if None.
        max_total_price: The most that all machines of one request may cost for one hour; no limit if None.
        tags: Put on every machine.
        process: What a machine of type ``process`` is; None where unset.
        lease_duration: Seconds that a machine lives unless its lease is extended; None for ever.
        max_lease_duration: The most seconds that a lease may reach ahead; None is no limit.
        more: What only some types take, such as ``image``, in JSON with the field names of the contract.
        foreign: The paths of fields that are set and that not every type takes.
        create_time: When it was created.
        update_time: When it last changed.
        revision: Grows with every change.
    """

    tenant: str = ""
    name: str = ""
    uid: str = ""
    display_name: str = ""
    description: str = ""
    provider: str = ""
    provider_type: str = ""
    api: str = ""
    regions: tuple[str, ...] = ()
    max_machines: int = 0
    max_count: int = 0
    max_price: Money | None = None
    max_total_price: Money | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    process: ProcessSpec | None = None
    lease_duration: float | None = None
    max_lease_duration: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    create_time: float = 0.0
    update_time: float = 0.0
    revision: int = 0


def effective(template: Template, defaults: Sequence[Template]) -> Template:
    """Returns a template with what it leaves unset filled in.

    Args:
        template: The template.
        defaults: Values for what it leaves unset, those that go before others first.
    """
    for below in defaults:
        template = replace(
            template,
            display_name=template.display_name or below.display_name,
            description=template.description or below.description,
            api=template.api or below.api,
            regions=template.regions or below.regions,
            max_machines=template.max_machines or below.max_machines,
            max_count=template.max_count or below.max_count,
            max_price=template.max_price or below.max_price,
            max_total_price=template.max_total_price or below.max_total_price,
            tags={**below.tags, **template.tags},
            process=_process(template.process, below.process),
            more={**below.more, **template.more},
            foreign=(*template.foreign, *(path for path in below.foreign if path not in template.foreign)),
            lease_duration=template.lease_duration or below.lease_duration,
            max_lease_duration=template.max_lease_duration or below.max_lease_duration,
        )
    return template


def _process(spec: ProcessSpec | None, below: ProcessSpec | None) -> ProcessSpec | None:
    if spec is None or below is None:
        return spec or below
    return ProcessSpec(
        command=spec.command or below.command,
        working_directory=spec.working_directory or below.working_directory,
        environment={**below.environment, **spec.environment},
        memory_bytes=spec.memory_bytes or below.memory_bytes,
        open_files=spec.open_files or below.open_files,
        output=Output(
            spec.output.max_file_bytes or below.output.max_file_bytes, spec.output.max_files or below.output.max_files
        ),
        stop_signal=spec.stop_signal or below.stop_signal,
        stop_grace=below.stop_grace if spec.stop_grace is None else spec.stop_grace,
    )
