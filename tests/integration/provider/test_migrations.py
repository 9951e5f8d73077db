"""Databases of earlier releases: what their machines used is known as far as their records say."""

from dataclasses import replace

from pydantic import TypeAdapter
from sutler.operations import records
from sutler.store import Transaction, open_database

from services.provider.adapters.stored import COMPONENT, MIGRATIONS
from services.provider.machines import Machine, MachineState

RAN = Machine(
    tenant="acme",
    name="machines/ran",
    uid="u",
    provider="providers/lab",
    machine_request="machineRequests/r",
    template="templates/small",
    state=MachineState.TERMINATED,
    launch_time=90.25,
    ready_time=100.5,
    end_time=200.75,
)
EARLIER = (
    RAN,
    replace(RAN, name="machines/runs", state=MachineState.RUNNING, end_time=None),
    replace(RAN, name="machines/again", state=MachineState.RUNNING, end_time=None, launch=2, launch_time=150.0),
    replace(RAN, name="machines/rests", state=MachineState.STOPPED, end_time=None, update_time=170.0),
    replace(RAN, name="machines/never", state=MachineState.FAILED, ready_time=None),
)


def insert(tx: Transaction, machine: Machine) -> None:
    body = TypeAdapter(Machine).dump_json(machine, exclude_none=True).decode()
    tx.execute(
        "INSERT INTO machines (tenant, id_key, name, state, live, template, provider, owner, machine_request,"
        " return_request, place, create_time, end_time, body) VALUES (?, ?, ?, ?, 1, '', '', '', '', '', '', 0, ?, ?)",
        (machine.tenant, machine.name, machine.name, int(machine.state), machine.end_time, body),
    )


async def test_when_machines_ran_is_taken_from_their_records(url: str) -> None:
    before = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS[:1]}
    async with open_database(url, name="provider", migrations=before) as database:
        for machine in EARLIER:
            await database.write(lambda tx, machine=machine: insert(tx, machine))
    now = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS}
    async with open_database(url, name="provider", migrations=now) as database:
        rows = await database.read(
            lambda tx: tx.all("SELECT machine, running, start_time, end_time FROM machine_spans ORDER BY machine")
        )
    assert [tuple(row) for row in rows] == [
        ("machines/again", 1, 150.0, None),
        ("machines/ran", 1, 100.5, 200.75),
        ("machines/rests", 0, 170.0, None),
        ("machines/runs", 1, 100.5, None),
    ]
