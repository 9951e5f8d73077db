"""The tables of ProviderService. A row holds its thing as JSON, and beside it what is looked up or ordered by."""

from __future__ import annotations

from datetime import timedelta

from sutler.store import Migration
from sutler.store.retention import Sweep

from services.provider.adapters.stored import marks

COMPONENT = "provider"


def _earlier_runs(number: str) -> tuple[str, ...]:
    """Returns what writes down when machines ran, as far as their records say; ``number`` reads a field of one."""
    ready, launched, updated = (number.format(field) for field in ("ready_time", "launch_time", "update_time"))
    launch = number.format("launch")
    return (
        "INSERT INTO machine_spans (tenant, machine, number, running, start_time, end_time)"
        f" SELECT tenant, name, 1, 1, CASE WHEN {launch} > 1 THEN {launched} ELSE {ready} END, end_time FROM machines"
        f" WHERE {ready} IS NOT NULL AND state NOT IN (2, 5)",
        "INSERT INTO machine_spans (tenant, machine, number, running, start_time)"
        f" SELECT tenant, name, 1, 0, {updated} FROM machines WHERE state = 5",
    )


_EARLIER_RUNS = {
    "sqlite": _earlier_runs("json_extract(body, '$.{}')"),
    "postgresql": _earlier_runs("CAST(CAST(body AS json) ->> '{}' AS double precision)"),
}

MIGRATIONS = (
    Migration(
        1,
        "providers, templates, machine requests, machines, sets, changes",
        (
            """CREATE TABLE providers (
                tenant TEXT NOT NULL, id_key TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL,
                PRIMARY KEY (tenant, id_key)
            )""",
            "CREATE INDEX providers_type ON providers (type, tenant, name)",
            """CREATE TABLE templates (
                tenant TEXT NOT NULL, id_key TEXT NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL,
                body TEXT NOT NULL,
                PRIMARY KEY (tenant, id_key)
            )""",
            "CREATE INDEX templates_provider ON templates (tenant, provider)",
            """CREATE TABLE machine_requests (
                tenant TEXT NOT NULL, id_key TEXT NOT NULL, name TEXT NOT NULL, state BIGINT NOT NULL,
                ended BIGINT NOT NULL, template TEXT NOT NULL, provider TEXT NOT NULL, owner TEXT NOT NULL,
                create_time DOUBLE PRECISION NOT NULL, end_time DOUBLE PRECISION, due_time DOUBLE PRECISION,
                body TEXT NOT NULL,
                PRIMARY KEY (tenant, id_key)
            )""",
            "CREATE INDEX machine_requests_due ON machine_requests (due_time)",
            "CREATE INDEX machine_requests_end ON machine_requests (end_time)",
            "CREATE INDEX machine_requests_create ON machine_requests (tenant, create_time)",
            "CREATE INDEX machine_requests_owner ON machine_requests (tenant, owner, ended)",
            "CREATE INDEX machine_requests_template ON machine_requests (tenant, template, ended)",
            "CREATE INDEX machine_requests_provider ON machine_requests (tenant, provider, ended)",
            """CREATE TABLE machines (
                tenant TEXT NOT NULL, id_key TEXT NOT NULL, name TEXT NOT NULL, state BIGINT NOT NULL,
                live BIGINT NOT NULL, template TEXT NOT NULL, provider TEXT NOT NULL, owner TEXT NOT NULL,
                machine_request TEXT NOT NULL, return_request TEXT NOT NULL, place TEXT NOT NULL,
                create_time DOUBLE PRECISION NOT NULL, end_time DOUBLE PRECISION, due_time DOUBLE PRECISION,
                body TEXT NOT NULL,
                PRIMARY KEY (tenant, id_key)
            )""",
            "CREATE INDEX machines_due ON machines (due_time)",
            "CREATE INDEX machines_end ON machines (end_time)",
            "CREATE INDEX machines_place ON machines (live, place, name)",
            "CREATE INDEX machines_request ON machines (tenant, machine_request, name)",
            "CREATE INDEX machines_return ON machines (tenant, return_request, name)",
            "CREATE INDEX machines_owner ON machines (tenant, owner, live)",
            "CREATE INDEX machines_template ON machines (tenant, template, live)",
            "CREATE INDEX machines_provider ON machines (tenant, provider, live)",
            """CREATE TABLE machine_sets (
                tenant TEXT NOT NULL, resource TEXT NOT NULL, fence BIGINT NOT NULL, attempt BIGINT NOT NULL,
                idempotency_key TEXT NOT NULL, rounds BIGINT NOT NULL, update_time DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (tenant, resource)
            )""",
            "CREATE INDEX machine_sets_update ON machine_sets (update_time)",
            """CREATE TABLE changes (
                seq BIGINT NOT NULL PRIMARY KEY, collection TEXT NOT NULL, tenant TEXT NOT NULL,
                change_time DOUBLE PRECISION NOT NULL, body_before TEXT, body_after TEXT
            )""",
            "CREATE INDEX changes_collection ON changes (collection, tenant, seq)",
            "CREATE INDEX changes_time ON changes (change_time)",
        ),
    ),
    Migration(
        2,
        "leases of machines",
        (
            "ALTER TABLE machines ADD COLUMN lease_time DOUBLE PRECISION",
            "CREATE INDEX machines_lease ON machines (lease_time)",
        ),
    ),
    Migration(
        3,
        "price tables with their editions, and when machines ran",
        (
            """CREATE TABLE price_tables (
                tenant TEXT NOT NULL, id_key TEXT NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL,
                body TEXT NOT NULL,
                PRIMARY KEY (tenant, id_key)
            )""",
            "CREATE INDEX price_tables_provider ON price_tables (tenant, provider)",
            """CREATE TABLE price_editions (
                tenant TEXT NOT NULL, provider TEXT NOT NULL, price_table TEXT NOT NULL,
                start_time DOUBLE PRECISION NOT NULL, end_time DOUBLE PRECISION, body TEXT NOT NULL
            )""",
            "CREATE INDEX price_editions_provider ON price_editions (tenant, provider, start_time, end_time)",
            "CREATE INDEX price_editions_end ON price_editions (end_time)",
            """CREATE TABLE machine_spans (
                tenant TEXT NOT NULL, machine TEXT NOT NULL, number BIGINT NOT NULL, running BIGINT NOT NULL,
                start_time DOUBLE PRECISION NOT NULL, end_time DOUBLE PRECISION, body TEXT,
                PRIMARY KEY (tenant, machine, number)
            )""",
            "CREATE INDEX machine_spans_time ON machine_spans (tenant, start_time, end_time)",
            "CREATE INDEX machine_spans_end ON machine_spans (end_time)",
        ),
    ),
    Migration(4, "when machines ran that are there already", _EARLIER_RUNS["sqlite"], engine="sqlite"),
    Migration(5, "when machines ran that are there already", _EARLIER_RUNS["postgresql"], engine="postgresql"),
    Migration(
        6,
        "machines of a provider by name",
        (
            "DROP INDEX machines_provider",
            "CREATE INDEX machines_provider ON machines (tenant, provider, live, name)",
        ),
    ),
    Migration(
        7,
        "how far retention has come in the changes of each tenant",
        (
            """CREATE TABLE change_marks (
                collection TEXT NOT NULL, tenant TEXT NOT NULL, seq BIGINT NOT NULL,
                PRIMARY KEY (collection, tenant)
            )""",
            "INSERT INTO change_marks (collection, tenant, seq) SELECT '', '', COALESCE("
            "(SELECT MIN(seq) - 1 FROM changes), (SELECT value FROM sequences WHERE name = 'changes'), 0)",
        ),
    ),
)


def sweeps(keep: timedelta, keep_changes: timedelta, keep_usage: timedelta) -> tuple[Sweep, ...]:
    """Returns what is deleted by age alone; machines and requests go with their files, by their driver.

    Args:
        keep: How long what has ended is kept.
        keep_changes: How long a watch can be resumed.
        keep_usage: How long usage, and the prices of its time, are kept.
    """
    return (
        Sweep("changes", "change_time", keep_changes, marks.COLUMNS, marks.note),
        Sweep("machine_sets", "update_time", keep),
        Sweep("machine_spans", "end_time", keep_usage),
        Sweep("price_editions", "end_time", keep_usage),
    )
