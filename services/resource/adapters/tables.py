"""The tables of ResourceService.

``document`` is the truth of a resource, and ``sealed`` holds its properties with secrets, encrypted; ``shown`` is the
same as the contract's message, because reads outnumber writes, and the other columns are there to look it up. ``key``
columns hold names in lower case. A query that is to use a partial index repeats its condition.
"""

from __future__ import annotations

from sutler.store import Migration

MIGRATIONS = (
    Migration(
        1,
        "types, resources, keys, references, revisions",
        (
            """CREATE TABLE types (
                tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
                revision BIGINT NOT NULL, document TEXT NOT NULL,
                PRIMARY KEY (tenant, key)
            )""",
            """CREATE TABLE resources (
                tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
                type TEXT NOT NULL, type_key TEXT NOT NULL, parent_key TEXT NOT NULL, root_key TEXT NOT NULL,
                group_key TEXT NOT NULL, state TEXT NOT NULL, lock_level BIGINT NOT NULL, operation TEXT NOT NULL,
                revision BIGINT NOT NULL, create_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
                expire_time DOUBLE PRECISION, tags TEXT NOT NULL, document TEXT NOT NULL, applied TEXT,
                sealed BYTEA, shown BYTEA NOT NULL,
                PRIMARY KEY (tenant, key)
            )""",
            "CREATE INDEX resources_by_parent ON resources (tenant, parent_key, name)",
            "CREATE INDEX resources_by_type ON resources (tenant, type_key, name)",
            "CREATE INDEX resources_by_root ON resources (tenant, root_key)",
            "CREATE INDEX resources_by_operation ON resources (tenant, operation) WHERE operation <> ''",
            "CREATE INDEX resources_by_group ON resources (tenant, group_key) WHERE group_key <> ''",
            "CREATE INDEX resources_by_expire_time ON resources (expire_time) WHERE expire_time IS NOT NULL",
            "CREATE INDEX resources_that_are_policies ON resources (tenant, parent_key)"
            " WHERE type_key = 'sutler.resource/policies'",
            "CREATE INDEX resources_that_are_quotas ON resources (tenant, parent_key)"
            " WHERE type_key = 'sutler.resource/quotas'",
            """CREATE TABLE unique_keys (
                tenant TEXT NOT NULL, key BYTEA NOT NULL, name TEXT NOT NULL, name_key TEXT NOT NULL,
                type_key TEXT NOT NULL,
                PRIMARY KEY (tenant, key)
            )""",
            "CREATE INDEX unique_keys_by_name ON unique_keys (tenant, name_key)",
            "CREATE INDEX unique_keys_by_type ON unique_keys (tenant, type_key)",
            """CREATE TABLE links (
                tenant TEXT NOT NULL, source_key TEXT NOT NULL, target_key TEXT NOT NULL, source TEXT NOT NULL,
                target TEXT NOT NULL, is_reference BIGINT NOT NULL,
                PRIMARY KEY (tenant, source_key, target_key, is_reference)
            )""",
            "CREATE INDEX links_by_target ON links (tenant, target_key)",
            """CREATE TABLE revisions (
                tenant TEXT NOT NULL, revision BIGINT NOT NULL, resource_key TEXT NOT NULL, resource TEXT NOT NULL,
                uid TEXT NOT NULL, type_key TEXT NOT NULL, root_key TEXT NOT NULL, kind TEXT NOT NULL,
                actor TEXT NOT NULL, cause TEXT NOT NULL, origin TEXT NOT NULL, method TEXT NOT NULL,
                request_id TEXT NOT NULL, operation TEXT NOT NULL, correlation_id TEXT NOT NULL,
                create_time DOUBLE PRECISION NOT NULL, superseded_time DOUBLE PRECISION,
                shown_before BYTEA, shown_after BYTEA,
                PRIMARY KEY (tenant, revision)
            )""",
            "CREATE INDEX revisions_by_resource ON revisions (tenant, resource_key, revision)",
            "CREATE INDEX revisions_by_superseded_time ON revisions (superseded_time) "
            "WHERE superseded_time IS NOT NULL",
            "CREATE TABLE compactions (tenant TEXT NOT NULL PRIMARY KEY, revision BIGINT NOT NULL)",
        ),
    ),
    Migration(
        2,
        "stacks",
        (
            "ALTER TABLE resources ADD COLUMN stack TEXT NOT NULL DEFAULT ''",
            """CREATE TABLE stacks (
                tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL, state TEXT NOT NULL,
                operation TEXT NOT NULL, revision BIGINT NOT NULL, create_time DOUBLE PRECISION NOT NULL,
                update_time DOUBLE PRECISION NOT NULL, document TEXT NOT NULL, sealed BYTEA,
                PRIMARY KEY (tenant, key)
            )""",
            "CREATE INDEX stacks_by_name ON stacks (tenant, name)",
            """CREATE TABLE stack_members (
                tenant TEXT NOT NULL, stack_key TEXT NOT NULL, key TEXT NOT NULL, place BIGINT NOT NULL,
                document TEXT NOT NULL,
                PRIMARY KEY (tenant, stack_key, key)
            )""",
        ),
    ),
    Migration(
        3,
        "epochs of what governs resources",
        ("CREATE TABLE epochs (tenant TEXT NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL)",),
    ),
    Migration(
        4,
        "lists of a scope by type and tag from the index",
        (
            "DROP INDEX resources_by_parent",
            "CREATE INDEX resources_by_parent ON resources (tenant, parent_key, name, type_key, tags)",
        ),
        engine="sqlite",  # PostgreSQL takes no more than 2704 bytes into an index, and needs it less: it caches rows
    ),
)
