"""The tables of RuleService. Times are epoch seconds; names are whole resource names, so that filters can use them."""

from __future__ import annotations

from sutler.store import Migration

COMPONENT = "rule"

_RULES = (
    """CREATE TABLE rules (
        tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL, version BIGINT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
        display_name TEXT NOT NULL, description TEXT NOT NULL, enabled BIGINT NOT NULL,
        active BIGINT NOT NULL, latest BIGINT NOT NULL, active_revision TEXT NOT NULL, latest_revision TEXT NOT NULL,
        principal TEXT NOT NULL, definition TEXT NOT NULL,
        PRIMARY KEY (tenant, key)
    )""",
    "CREATE UNIQUE INDEX rules_uid ON rules (uid)",
    """CREATE TABLE rule_revisions (
        rule_uid TEXT NOT NULL, number BIGINT NOT NULL, tenant TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
        activated BIGINT NOT NULL, state BIGINT NOT NULL, author TEXT NOT NULL, definition TEXT NOT NULL,
        display_name TEXT NOT NULL, description TEXT NOT NULL,
        retire_time DOUBLE PRECISION, deleted BIGINT NOT NULL, cancelled BIGINT NOT NULL,
        PRIMARY KEY (rule_uid, number)
    )""",
    "CREATE INDEX rule_revisions_retired ON rule_revisions (retire_time)",
    """CREATE TABLE rule_changes (
        seq BIGINT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, token TEXT NOT NULL, rule_uid TEXT NOT NULL
    )""",
    "CREATE INDEX rule_changes_tenant ON rule_changes (tenant, seq)",
)

_EVENTS = (
    """CREATE TABLE events (
        seq BIGINT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL,
        id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL,
        time DOUBLE PRECISION NOT NULL, datacontenttype TEXT NOT NULL, dataschema TEXT NOT NULL,
        data TEXT, binary_data BYTEA, extensions TEXT NOT NULL, extra TEXT NOT NULL,
        deliver_time DOUBLE PRECISION, digest BYTEA NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
        correlation_id TEXT NOT NULL, state BIGINT NOT NULL,
        parent_execution TEXT NOT NULL, parent_event TEXT NOT NULL, root_event TEXT NOT NULL, depth BIGINT NOT NULL,
        execution_count BIGINT NOT NULL, failure_count BIGINT NOT NULL, bad_count BIGINT NOT NULL,
        open_executions BIGINT NOT NULL, open_children BIGINT NOT NULL,
        end_time DOUBLE PRECISION, cascade_end_time DOUBLE PRECISION, principal TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX events_name ON events (tenant, name)",
    "CREATE INDEX events_order ON events (tenant, seq)",
    "CREATE INDEX events_root ON events (tenant, root_event, seq)",
    "CREATE INDEX events_correlation ON events (tenant, correlation_id)",
    "CREATE INDEX events_scheduled ON events (deliver_time) WHERE state = 1",
    "CREATE INDEX events_over ON events (cascade_end_time) WHERE depth = 0",
)

_EXECUTIONS = (
    """CREATE TABLE executions (
        seq BIGINT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL,
        event TEXT NOT NULL, root_event TEXT NOT NULL,
        rule TEXT NOT NULL, rule_uid TEXT NOT NULL, revision BIGINT NOT NULL, rule_revision TEXT NOT NULL,
        subject TEXT NOT NULL, depth BIGINT NOT NULL, correlation_id TEXT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
        state BIGINT NOT NULL, ended BIGINT NOT NULL, ready BIGINT NOT NULL, holder BIGINT NOT NULL,
        attempts BIGINT NOT NULL, deferrals BIGINT NOT NULL,
        conditions TEXT NOT NULL, steps TEXT NOT NULL, error TEXT NOT NULL,
        due_time DOUBLE PRECISION NOT NULL, next_attempt_time DOUBLE PRECISION,
        start_time DOUBLE PRECISION, end_time DOUBLE PRECISION, give_up_time DOUBLE PRECISION,
        dead_letter TEXT NOT NULL, original_execution TEXT NOT NULL, subject_name TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX executions_name ON executions (tenant, name)",
    "CREATE INDEX executions_order ON executions (tenant, seq)",
    "CREATE INDEX executions_root ON executions (tenant, root_event, seq)",
    "CREATE INDEX executions_lane ON executions (rule_uid, subject, seq) WHERE ended = 0",
    "CREATE INDEX executions_due ON executions (due_time, seq) WHERE ended = 0 AND ready = 1 AND holder = 0",
    "CREATE INDEX executions_held ON executions (holder) WHERE holder <> 0",
    "CREATE INDEX executions_ended ON executions (end_time) WHERE ended = 1",
    """CREATE TABLE answers (
        execution BIGINT NOT NULL, step TEXT NOT NULL, answer TEXT NOT NULL,
        PRIMARY KEY (execution, step)
    )""",
)

_SUBJECTS = (
    """CREATE TABLE subjects (
        tenant TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
        properties TEXT NOT NULL, ext_properties TEXT NOT NULL, revision BIGINT NOT NULL,
        ttl DOUBLE PRECISION, expire_time DOUBLE PRECISION,
        PRIMARY KEY (tenant, id)
    )""",
    "CREATE INDEX subjects_expire ON subjects (expire_time)",
)

_FAILURES = (
    """CREATE TABLE breakers (
        tenant TEXT NOT NULL, name TEXT NOT NULL, rule TEXT NOT NULL, rule_uid TEXT NOT NULL, subject TEXT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL, state BIGINT NOT NULL,
        failures TEXT NOT NULL, failure_count BIGINT NOT NULL,
        open_time DOUBLE PRECISION, probe_time DOUBLE PRECISION, probe TEXT NOT NULL, error TEXT NOT NULL,
        window_end DOUBLE PRECISION, subject_name TEXT NOT NULL,
        PRIMARY KEY (tenant, name)
    )""",
    "CREATE INDEX breakers_over ON breakers (window_end)",
    """CREATE TABLE dead_letters (
        seq BIGINT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
        state BIGINT NOT NULL, cause BIGINT NOT NULL, error TEXT NOT NULL,
        execution TEXT NOT NULL, rule TEXT NOT NULL, rule_revision TEXT NOT NULL, event TEXT NOT NULL,
        subject TEXT NOT NULL, attempts BIGINT NOT NULL, snapshot TEXT NOT NULL,
        replay_execution TEXT NOT NULL, replay_count BIGINT NOT NULL, subject_name TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX dead_letters_name ON dead_letters (tenant, name)",
    "CREATE INDEX dead_letters_order ON dead_letters (tenant, seq)",
)

_SCHEDULES = (
    """CREATE TABLE schedules (
        tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL, version BIGINT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL, display_name TEXT NOT NULL,
        cron TEXT NOT NULL, time_zone TEXT NOT NULL, event TEXT NOT NULL,
        start_time DOUBLE PRECISION, end_time DOUBLE PRECISION,
        catch_up BIGINT NOT NULL, enabled BIGINT NOT NULL, state BIGINT NOT NULL,
        author TEXT NOT NULL, principal TEXT NOT NULL,
        next_fire_time DOUBLE PRECISION, due_time DOUBLE PRECISION, last_fire_time DOUBLE PRECISION,
        last_event TEXT NOT NULL, last_error TEXT,
        PRIMARY KEY (tenant, key)
    )""",
    "CREATE UNIQUE INDEX schedules_uid ON schedules (uid)",
    "CREATE INDEX schedules_due ON schedules (due_time) WHERE due_time IS NOT NULL",
)

_TASKS = (
    """CREATE TABLE tasks (
        seq BIGINT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, queue TEXT NOT NULL,
        name TEXT NOT NULL, uid TEXT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
        state BIGINT NOT NULL, handler TEXT NOT NULL, rule TEXT NOT NULL, rule_revision TEXT NOT NULL,
        execution TEXT NOT NULL, execution_seq BIGINT NOT NULL, step TEXT NOT NULL,
        event TEXT NOT NULL, subject_name TEXT NOT NULL, data TEXT,
        attempt BIGINT NOT NULL, pull_count BIGINT NOT NULL,
        lease_token TEXT NOT NULL, lease_seconds DOUBLE PRECISION NOT NULL, lease_expire_time DOUBLE PRECISION,
        worker_id TEXT NOT NULL, expire_time DOUBLE PRECISION NOT NULL, error TEXT NOT NULL,
        idempotency_key TEXT NOT NULL, next_attempt_time DOUBLE PRECISION, completion BYTEA,
        subject_snapshot TEXT, pull_request TEXT NOT NULL, pull_digest BYTEA
    )""",
    "CREATE UNIQUE INDEX tasks_name ON tasks (tenant, name)",
    "CREATE UNIQUE INDEX tasks_execution ON tasks (execution_seq, step)",
    "CREATE INDEX tasks_order ON tasks (tenant, queue, seq)",
    "CREATE INDEX tasks_waiting ON tasks (tenant, queue, seq) WHERE state = 1 AND next_attempt_time IS NULL",
    "CREATE INDEX tasks_leased ON tasks (tenant, queue) WHERE state = 2",
    "CREATE INDEX tasks_pulled ON tasks (tenant, pull_request) WHERE pull_request <> ''",
)

_REPLAYS = (
    """CREATE TABLE replayed_executions (
        operation TEXT NOT NULL, execution BIGINT NOT NULL,
        PRIMARY KEY (operation, execution)
    )""",
)

_WATCHES = (
    "ALTER TABLE events ADD COLUMN end_change BIGINT",
    "ALTER TABLE events ADD COLUMN cascade_change BIGINT",
    "ALTER TABLE executions ADD COLUMN change BIGINT",
    "CREATE INDEX events_ended ON events (tenant, end_change) WHERE end_change IS NOT NULL",
    "CREATE INDEX events_cascade_ended ON events (tenant, cascade_change) WHERE cascade_change IS NOT NULL",
    "CREATE INDEX executions_changed ON executions (tenant, change) WHERE change IS NOT NULL",
    """CREATE TABLE subject_changes (
        seq BIGINT NOT NULL PRIMARY KEY, kind BIGINT NOT NULL, change_time DOUBLE PRECISION NOT NULL,
        principal TEXT NOT NULL, execution TEXT NOT NULL, changes TEXT NOT NULL, prior TEXT NOT NULL,
        id TEXT NOT NULL, tenant TEXT NOT NULL, uid TEXT NOT NULL,
        create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
        properties TEXT NOT NULL, ext_properties TEXT NOT NULL, revision BIGINT NOT NULL,
        ttl DOUBLE PRECISION, expire_time DOUBLE PRECISION
    )""",
    "CREATE INDEX subject_changes_order ON subject_changes (tenant, seq)",
    """CREATE TABLE watch_marks (
        tenant TEXT NOT NULL, log TEXT NOT NULL, number BIGINT NOT NULL,
        PRIMARY KEY (tenant, log)
    )""",
)

_HANDING_OUT = (
    "CREATE INDEX executions_unheld ON executions (event) WHERE ended = 0 AND ready = 1 AND holder = 0 AND state = 1",
)

MIGRATIONS = (
    Migration(
        1,
        "rules, events, executions, subjects, breakers, dead letters",
        (*_RULES, *_EVENTS, *_EXECUTIONS, *_SUBJECTS, *_FAILURES),
    ),
    Migration(2, "schedules", _SCHEDULES),
    Migration(3, "tasks for workers", _TASKS),
    Migration(4, "executions that operations wait for", _REPLAYS),
    Migration(5, "numbers of changes for watches, and the log of subjects", _WATCHES),
    Migration(6, "executions that can be taken by event", _HANDING_OUT),
)
