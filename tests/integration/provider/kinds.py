"""Machines and templates for the type ``process`` alone."""

from typing import Any

from services.provider.machines import Machine, MachineState
from services.provider.templates import ProcessSpec, Template


def made(number: int = 1, launch: int = 1) -> Machine:
    return Machine(
        tenant="acme",
        name=f"machines/m{number}",
        uid="u",
        provider="providers/lab",
        machine_request="machineRequests/r",
        template="templates/small",
        state=MachineState.LAUNCHING,
        launch_time=1.0,
        launch=launch,
    )


def template(*command: str, **more: Any) -> Template:
    return Template(process=ProcessSpec(command=command or ("sleep", "1000"), **more))
