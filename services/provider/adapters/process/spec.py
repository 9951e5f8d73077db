"""What the type ``process`` is and takes: its config, its defaults, and what a template may ask of it."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic
from sutler.errors import Invalid, Violation
from sutler.validation import from_pydantic

from services.provider.adapters.process.programs import DEFAULT_PATH, Programs
from services.provider.providers import ApiFacts, Capability, TypeFacts
from services.provider.templates import ProcessSpec, Template

TYPE = "process"
VERSION = "1.0"
API = "spawn"
REGION = "local"
DEFAULT_GRACE_SECONDS = 10.0
MAX_GRACE_SECONDS = 3600.0

HEARTBEAT = (
    "import itertools, time\nfor n in itertools.count():\n    print('heartbeat', n, flush=True)\n    time.sleep(10)"
)
"""What a machine does whose template says nothing: it runs until it is ended, and says so."""


class ProcessConfig(pydantic.BaseModel):
    """The config of a provider of type ``process``."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, title="ProcessConfig")

    timeout: float = pydantic.Field(default=30.0, gt=0, le=600, description="Seconds that one start may take")
    max_retries: int = pydantic.Field(default=3, ge=0, le=3, description="How often what is missing is asked for again")
    path: str = pydantic.Field(
        default=DEFAULT_PATH,
        min_length=1,
        max_length=4096,
        description="Where programs are looked for; PATH of the machines",
    )


def read_config(config: Mapping[str, Any]) -> ProcessConfig:
    """Returns a config with its defaults.

    Raises:
        Invalid: If it breaks the schema (CONFIG_INVALID), with all violations.
    """
    try:
        return ProcessConfig.model_validate(dict(config))
    except pydantic.ValidationError as error:
        raise _config_invalid(from_pydantic(error, ["provider", "config"])) from error


def checked_config(config: Mapping[str, Any], programs: Programs) -> ProcessConfig:
    """Returns a config with its defaults, if the operator allows it.

    Raises:
        Invalid: If it breaks the schema, or names a path of its own where only the operator's is used (CONFIG_INVALID).
    """
    read = read_config({"path": programs.path, **config})
    if read.path != programs.path_for(read.path):
        text = f"must be {programs.path}, for the operator does not allow all programs"
        raise _config_invalid([Violation("provider.config.path", text, "PATH_NOT_ALLOWED")])
    return read


def _config_invalid(violations: Sequence[Violation]) -> Invalid:
    return Invalid(
        f"{violations[0].field}: {violations[0].description}",
        reason="CONFIG_INVALID",
        metadata={"type": TYPE, "field": violations[0].field},
        violations=violations,
    )


def facts(path: str = DEFAULT_PATH) -> TypeFacts:
    """Returns what the type is and can do.

    Args:
        path: Where programs are looked for unless a config says it.
    """
    schema = ProcessConfig.model_json_schema()
    schema["properties"]["path"]["default"] = path
    defaults = Template(
        api=API,
        process=ProcessSpec(
            command=(sys.executable, "-I", "-S", "-c", HEARTBEAT),
            stop_signal="SIGTERM",
            stop_grace=DEFAULT_GRACE_SECONDS,
        ),
    )
    return TypeFacts(
        type=TYPE,
        display_name="Processes of this host",
        description="Each machine is an operating-system process on the host of the service.",
        version=VERSION,
        config_schema=schema,
        apis=(
            ApiFacts(
                api=API,
                display_name="Spawn",
                description="Starts one process for each machine, each in a session of its own.",
                capabilities=(
                    Capability.START_STOP,
                    Capability.CLIENT_TOKEN,
                    Capability.SELECTIVE_RETURN,
                    Capability.TAGS,
                    Capability.OUTPUT,
                ),
            ),
        ),
        capabilities=(),
        regions=(REGION,),
        template_defaults=defaults,
        example_configs=({}, {"timeout": 10, "max_retries": 1}),
        example_templates=(
            Template(provider_type=TYPE, api=API),
            Template(provider_type=TYPE, api=API, process=ProcessSpec(command=("sleep", "infinity"))),
        ),
    )


def template_violations(template: Template, programs: Programs) -> Iterator[Violation]:
    """Yields what is wrong with a template whose defaults are filled in.

    Args:
        template: The template.
        programs: What the operator allows.
    """
    spec = template.process
    if spec is None or not spec.command or not spec.command[0]:
        yield Violation("process.command", "names no program", "REQUIRED")
        return
    yield from programs.violations(spec)
    for index, argument in enumerate(spec.command):
        if "\0" in argument:
            yield Violation(f"process.command[{index}]", "holds the character U+0000", "NUL_CHARACTER")
    for key, value in spec.environment.items():
        if not key or "=" in key or "\0" in key + value:
            yield Violation(f"process.environment[{key!r}]", "is not a name and value that a process can get")
    if spec.working_directory and not os.path.isabs(spec.working_directory):
        yield Violation("process.working_directory", "is not an absolute path", "NOT_ABSOLUTE")
    if signal_number(spec.stop_signal or "SIGTERM") is None:
        yield Violation("process.stop_signal", f"there is no signal {spec.stop_signal!r} here", "SIGNAL_UNKNOWN")
    if spec.stop_grace is not None and not 0 <= spec.stop_grace <= MAX_GRACE_SECONDS:
        yield Violation("process.stop_grace_duration", "is not between 0 s and 1 h", "OUT_OF_RANGE")


def violations_there(template: Template, config: ProcessConfig, programs: Programs) -> Iterator[Violation]:
    """Yields what is wrong with a template on this host now."""
    spec = template.process
    assert spec is not None
    if shutil.which(spec.command[0], path=programs.path_for(config.path)) is None:
        yield Violation("process.command[0]", "is no program that this user can execute here", "NOT_FOUND")
    if spec.working_directory and not os.access(spec.working_directory, os.R_OK | os.X_OK):
        yield Violation("process.working_directory", "is no folder that this user can enter here", "NOT_FOUND")


def signal_number(name: str) -> int | None:
    """Returns the number of a signal such as ``SIGTERM``; None if there is none of that name."""
    try:
        return int(signal.Signals[name])
    except KeyError:
        return None


def grace(template: Template) -> float:
    """Returns how many seconds a machine may take to end by itself."""
    given = template.process.stop_grace if template.process is not None else None
    return DEFAULT_GRACE_SECONDS if given is None or math.isnan(given) else given
