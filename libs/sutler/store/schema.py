"""The tables that the library itself keeps in every database: component ``sutler``."""

from __future__ import annotations

from sutler.store.migrations import Migration

COMPONENT = "sutler"

MIGRATIONS = (
    Migration(
        1,
        "sequences, requests, leases, outbox",
        (
            """
            CREATE TABLE sequences (
                name TEXT NOT NULL PRIMARY KEY,
                value BIGINT NOT NULL
            )
            """,
            """
            CREATE TABLE requests (
                tenant TEXT NOT NULL,
                method TEXT NOT NULL,
                request_id TEXT NOT NULL,
                hash BYTEA NOT NULL,
                answer BYTEA NOT NULL,
                expire_time DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (tenant, method, request_id)
            )
            """,
            "CREATE INDEX requests_by_expire_time ON requests (expire_time)",
            """
            CREATE TABLE leases (
                name TEXT NOT NULL PRIMARY KEY,
                holder TEXT NOT NULL,
                fence BIGINT NOT NULL,
                expire_time DOUBLE PRECISION NOT NULL
            )
            """,
            "CREATE INDEX leases_by_expire_time ON leases (expire_time)",
            """
            CREATE TABLE outbox (
                seq BIGINT NOT NULL PRIMARY KEY,
                tenant TEXT NOT NULL,
                id TEXT NOT NULL,
                source TEXT NOT NULL,
                type TEXT NOT NULL,
                subject TEXT NOT NULL,
                time DOUBLE PRECISION NOT NULL,
                data TEXT NOT NULL,
                correlation_id TEXT NOT NULL,
                traceparent TEXT NOT NULL,
                actor TEXT NOT NULL
            )
            """,
        ),
    ),
    Migration(2, "keys", ("CREATE TABLE keys (name TEXT NOT NULL PRIMARY KEY, value BYTEA NOT NULL)",)),
)
