"""The tables of the gateway: component ``erp``."""

from __future__ import annotations

from sutler.store import Migration

MIGRATIONS = {
    "erp": (
        Migration(
            1,
            "connections, subscriptions, feeds, journal",
            (
                """
                CREATE TABLE connections (
                    tenant TEXT NOT NULL,
                    key TEXT NOT NULL,
                    name TEXT NOT NULL,
                    uid TEXT NOT NULL UNIQUE,
                    spec TEXT NOT NULL,
                    secrets TEXT NOT NULL,
                    revision BIGINT NOT NULL,
                    epoch BIGINT NOT NULL,
                    create_time DOUBLE PRECISION NOT NULL,
                    update_time DOUBLE PRECISION NOT NULL,
                    creator TEXT NOT NULL,
                    state TEXT NOT NULL,
                    state_reason TEXT NOT NULL,
                    state_time DOUBLE PRECISION NOT NULL,
                    server_version TEXT NOT NULL,
                    clock_skew DOUBLE PRECISION,
                    PRIMARY KEY (tenant, key)
                )
                """,
                "CREATE INDEX connections_by_name ON connections (tenant, name)",
                "CREATE INDEX connections_by_state ON connections (state)",
                """
                CREATE TABLE subscriptions (
                    tenant TEXT NOT NULL,
                    connection_uid TEXT NOT NULL,
                    connection TEXT NOT NULL,
                    key TEXT NOT NULL,
                    name TEXT NOT NULL,
                    uid TEXT NOT NULL UNIQUE,
                    spec TEXT NOT NULL,
                    revision BIGINT NOT NULL,
                    create_time DOUBLE PRECISION NOT NULL,
                    update_time DOUBLE PRECISION NOT NULL,
                    creator TEXT NOT NULL,
                    principal TEXT NOT NULL,
                    event_count BIGINT NOT NULL,
                    PRIMARY KEY (connection_uid, key)
                )
                """,
                "CREATE INDEX subscriptions_by_name ON subscriptions (connection_uid, name)",
                """
                CREATE TABLE feeds (
                    uid TEXT NOT NULL PRIMARY KEY,
                    tenant TEXT NOT NULL,
                    connection TEXT NOT NULL,
                    connection_uid TEXT NOT NULL,
                    kind TEXT NOT NULL,
                    model TEXT NOT NULL,
                    spec TEXT NOT NULL,
                    principal TEXT NOT NULL,
                    revision BIGINT NOT NULL,
                    position TEXT NOT NULL,
                    poll_time DOUBLE PRECISION,
                    error BYTEA NOT NULL,
                    expire_time DOUBLE PRECISION,
                    log_start BIGINT NOT NULL
                )
                """,
                "CREATE INDEX feeds_by_model ON feeds (connection_uid, model)",
                "CREATE INDEX feeds_by_expire_time ON feeds (expire_time)",
                """
                CREATE TABLE observations (
                    feed TEXT NOT NULL,
                    record_id BIGINT NOT NULL,
                    update_time DOUBLE PRECISION NOT NULL,
                    hash TEXT NOT NULL,
                    turn BIGINT NOT NULL,
                    seen TEXT NOT NULL,
                    display_name TEXT NOT NULL,
                    generation BIGINT NOT NULL,
                    PRIMARY KEY (feed, record_id)
                )
                """,
                """
                CREATE TABLE changes (
                    seq BIGINT NOT NULL PRIMARY KEY,
                    feed TEXT NOT NULL,
                    time DOUBLE PRECISION NOT NULL,
                    data TEXT NOT NULL
                )
                """,
                "CREATE INDEX changes_by_feed ON changes (feed, seq)",
                "CREATE INDEX changes_by_time ON changes (time)",
                """
                CREATE TABLE touches (
                    seq BIGINT NOT NULL PRIMARY KEY,
                    connection_uid TEXT NOT NULL,
                    model TEXT NOT NULL,
                    record_id BIGINT NOT NULL,
                    correlation_id TEXT NOT NULL,
                    actor TEXT NOT NULL,
                    time DOUBLE PRECISION NOT NULL
                )
                """,
                "CREATE INDEX touches_by_model ON touches (connection_uid, model, seq)",
                "CREATE INDEX touches_by_time ON touches (time)",
                """
                CREATE TABLE journal (
                    uid TEXT NOT NULL PRIMARY KEY,
                    tenant TEXT NOT NULL,
                    connection TEXT NOT NULL,
                    connection_uid TEXT NOT NULL,
                    name TEXT NOT NULL,
                    kind TEXT NOT NULL,
                    model TEXT NOT NULL,
                    record_ids TEXT NOT NULL,
                    payload TEXT NOT NULL,
                    keys TEXT NOT NULL,
                    repeatable BIGINT NOT NULL,
                    method TEXT NOT NULL,
                    request_id TEXT NOT NULL,
                    digest BYTEA NOT NULL,
                    creator TEXT NOT NULL,
                    username TEXT NOT NULL,
                    correlation_id TEXT NOT NULL,
                    owner TEXT NOT NULL,
                    lease_time DOUBLE PRECISION NOT NULL,
                    state TEXT NOT NULL,
                    create_time DOUBLE PRECISION NOT NULL,
                    update_time DOUBLE PRECISION NOT NULL,
                    end_time DOUBLE PRECISION,
                    error BYTEA NOT NULL,
                    revision BIGINT NOT NULL
                )
                """,
                "CREATE UNIQUE INDEX journal_by_request ON journal (tenant, method, request_id) WHERE request_id <> ''",
                "CREATE INDEX journal_by_time ON journal (tenant, connection, create_time)",
                "CREATE INDEX journal_by_lease ON journal (state, repeatable, lease_time)",
                "CREATE INDEX journal_by_update_time ON journal (update_time)",
                """
                CREATE TABLE field_sets (
                    digest TEXT NOT NULL PRIMARY KEY,
                    fields TEXT NOT NULL,
                    binaries BIGINT NOT NULL,
                    language TEXT NOT NULL,
                    use_time DOUBLE PRECISION NOT NULL
                )
                """,
                "CREATE INDEX field_sets_by_use_time ON field_sets (use_time)",
                "CREATE INDEX outbox_by_time ON outbox (time)",
            ),
        ),
        Migration(
            2,
            "steps of transactions",
            (
                """
                CREATE TABLE journal_steps (
                    uid TEXT NOT NULL,
                    position BIGINT NOT NULL,
                    spec TEXT NOT NULL,
                    state TEXT NOT NULL,
                    progress TEXT NOT NULL,
                    error BYTEA NOT NULL,
                    undo_error BYTEA NOT NULL,
                    start_time DOUBLE PRECISION,
                    end_time DOUBLE PRECISION,
                    undo_time DOUBLE PRECISION,
                    update_time DOUBLE PRECISION NOT NULL,
                    PRIMARY KEY (uid, position)
                )
                """,
                "CREATE INDEX journal_steps_by_update_time ON journal_steps (update_time)",
                "CREATE UNIQUE INDEX journal_by_name ON journal (tenant, name)",
                "DROP INDEX journal_by_request",
                "CREATE UNIQUE INDEX journal_by_request ON journal (tenant, method, request_id)"
                " WHERE request_id <> '' AND state <> 'UNDONE'",
                "CREATE INDEX journal_by_any_request ON journal (tenant, method, request_id) WHERE request_id <> ''",
            ),
        ),
        Migration(
            3,
            "imports",
            (
                """
                CREATE TABLE imports (
                    uid TEXT NOT NULL PRIMARY KEY,
                    tenant TEXT NOT NULL,
                    connection TEXT NOT NULL,
                    connection_uid TEXT NOT NULL,
                    id TEXT NOT NULL,
                    spec TEXT NOT NULL,
                    state TEXT NOT NULL,
                    next_index BIGINT NOT NULL,
                    created_count BIGINT NOT NULL,
                    updated_count BIGINT NOT NULL,
                    unchanged_count BIGINT NOT NULL,
                    failed_count BIGINT NOT NULL,
                    asked TEXT NOT NULL,
                    create_time DOUBLE PRECISION NOT NULL,
                    update_time DOUBLE PRECISION NOT NULL,
                    end_time DOUBLE PRECISION,
                    creator TEXT NOT NULL,
                    correlation_id TEXT NOT NULL,
                    error BYTEA NOT NULL,
                    revision BIGINT NOT NULL
                )
                """,
                "CREATE UNIQUE INDEX imports_by_name ON imports (connection_uid, id)",
                "CREATE INDEX imports_by_connection ON imports (tenant, connection, id)",
                "CREATE INDEX imports_by_state ON imports (state, update_time)",
                "CREATE INDEX imports_by_end_time ON imports (end_time)",
                """
                CREATE TABLE import_chunks (
                    import_uid TEXT NOT NULL,
                    first_index BIGINT NOT NULL,
                    last_index BIGINT NOT NULL,
                    failed_count BIGINT NOT NULL,
                    results TEXT NOT NULL,
                    PRIMARY KEY (import_uid, first_index)
                )
                """,
                "CREATE INDEX import_chunks_failed ON import_chunks (import_uid, first_index) WHERE failed_count > 0",
            ),
        ),
        Migration(
            4,
            "figures of each process",
            (
                """
                CREATE TABLE figures (
                    process TEXT NOT NULL,
                    connection_uid TEXT NOT NULL,
                    figures TEXT NOT NULL,
                    time DOUBLE PRECISION NOT NULL,
                    PRIMARY KEY (process, connection_uid)
                )
                """,
                "CREATE INDEX figures_by_connection ON figures (connection_uid)",
                "CREATE INDEX figures_by_time ON figures (time)",
            ),
        ),
        Migration(
            5,
            "as whom imports write",
            ("ALTER TABLE imports ADD COLUMN username TEXT NOT NULL DEFAULT ''",),
        ),
        Migration(
            6,
            "keys of records that are being created",
            (
                """
                CREATE TABLE keys_in_use (
                    connection_uid TEXT NOT NULL,
                    model TEXT NOT NULL,
                    key TEXT NOT NULL,
                    owner TEXT NOT NULL,
                    asked BIGINT NOT NULL,
                    expire_time DOUBLE PRECISION NOT NULL,
                    PRIMARY KEY (connection_uid, model, key)
                )
                """,
                "CREATE INDEX keys_in_use_by_owner ON keys_in_use (owner)",
                "CREATE INDEX keys_in_use_by_expire_time ON keys_in_use (expire_time)",
            ),
        ),
        Migration(
            7,
            "what feeds know",
            (
                "ALTER TABLE feeds ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0",
                "ALTER TABLE feeds ADD COLUMN record_count BIGINT NOT NULL DEFAULT 0",
                "DELETE FROM feeds WHERE expire_time IS NOT NULL",
                "ALTER TABLE feeds ADD COLUMN creator TEXT NOT NULL DEFAULT ''",
                "ALTER TABLE feeds ADD COLUMN rest_time DOUBLE PRECISION",
                "ALTER TABLE observations ADD COLUMN away_time DOUBLE PRECISION",
                "CREATE INDEX observations_by_away_time ON observations (away_time) WHERE away_time IS NOT NULL",
                "UPDATE feeds SET record_count = (SELECT COUNT(*) FROM observations WHERE feed = feeds.uid)",
            ),
        ),
    )
}
"""The migrations, for :func:`sutler.store.open_database`."""
