"""What is seen of processes, as observations of machines."""

from __future__ import annotations

from services.provider.adapters.process.procfs import Identity
from services.provider.adapters.process.watching import Ended
from services.provider.diagnostics import Diagnostic
from services.provider.machines import Machine, Observation, Sight


def about(machine: Machine) -> dict[str, str]:
    """Returns what the lock file says of whose machine it is."""
    return {
        "tenant": machine.tenant,
        "machine": machine.name,
        "request": machine.machine_request,
        "template": machine.template,
        "provider": machine.provider,
    }


def attributes_of(identity: Identity, host: str) -> dict[str, int | str]:
    """Returns what only this type tells of a machine that lives: as which process of which host."""
    return {"pid": identity.pid, "start_ticks": identity.start, "boot_id": identity.boot, "host": host}


def alive(machine: Machine, identity: Identity, host: str) -> Observation:
    """Returns that a machine lives, and as which process of which host."""
    return Observation(
        tenant=machine.tenant,
        machine=machine.name,
        launch=machine.launch,
        sight=Sight.ALIVE,
        native_id=str(identity.pid),
        attributes=attributes_of(identity, host),
    )


def ended(machine: Machine, how: Ended, diagnostic: Diagnostic | None = None) -> Observation:
    """Returns that a machine has ended, and how; with a diagnostic, that it did not start."""
    return Observation(
        tenant=machine.tenant,
        machine=machine.name,
        launch=machine.launch,
        sight=Sight.ENDED,
        exit_code=how.exit_code,
        reason=diagnostic.summary if diagnostic else how.reason,
        diagnostic=diagnostic,
    )


def observed(machine: Machine, sight: Sight) -> Observation:
    """Returns that this is seen of a machine, and no more."""
    return Observation(tenant=machine.tenant, machine=machine.name, launch=machine.launch, sight=sight)
