"""The tables of caches and of entries."""

from __future__ import annotations

from sutler.store import Migration

CACHES = (
    Migration(
        1,
        "caches and those that were deleted",
        (
            """
            CREATE TABLE caches (
                tenant TEXT NOT NULL,
                name TEXT NOT NULL,
                folded TEXT NOT NULL,
                uid TEXT NOT NULL,
                space BIGINT NOT NULL UNIQUE,
                revision BIGINT NOT NULL,
                create_time DOUBLE PRECISION NOT NULL,
                update_time DOUBLE PRECISION NOT NULL,
                rules TEXT NOT NULL,
                PRIMARY KEY (tenant, name),
                UNIQUE (tenant, folded)
            )
            """,
            """
            CREATE TABLE dropped_caches (
                space BIGINT NOT NULL PRIMARY KEY,
                tenant TEXT NOT NULL,
                metadata_backend TEXT NOT NULL,
                drop_time DOUBLE PRECISION NOT NULL
            )
            """,
        ),
    ),
)

# `value` comes last, so that SQLite reads all the others without walking through it. `used_time` is when an entry was
# put or accessed, whichever was later. `listed_bytes` is about what the entry takes in a list.
ENTRIES = (
    Migration(
        1,
        "entries, tags, blobs",
        (
            """
            CREATE TABLE spaces (
                space BIGINT NOT NULL PRIMARY KEY,
                tenant TEXT NOT NULL,
                entries BIGINT NOT NULL,
                blobs BIGINT NOT NULL,
                size_bytes BIGINT NOT NULL,
                stored_bytes BIGINT NOT NULL
            )
            """,
            """
            CREATE TABLE blobs (
                id BIGINT NOT NULL PRIMARY KEY,
                tenant TEXT NOT NULL,
                backend TEXT NOT NULL,
                sha256 TEXT NOT NULL,
                size_bytes BIGINT NOT NULL,
                checksum TEXT NOT NULL,
                chunks TEXT NOT NULL,
                locator TEXT NOT NULL UNIQUE,
                UNIQUE (tenant, backend, sha256)
            )
            """,
            """
            CREATE TABLE garbage (
                locator TEXT NOT NULL PRIMARY KEY,
                tenant TEXT NOT NULL,
                backend TEXT NOT NULL,
                drop_time DOUBLE PRECISION NOT NULL
            )
            """,
            "CREATE INDEX garbage_by_time ON garbage (drop_time)",
            """
            CREATE TABLE entries (
                space BIGINT NOT NULL,
                key TEXT NOT NULL,
                tenant TEXT NOT NULL,
                kind BIGINT NOT NULL,
                etag TEXT NOT NULL,
                ttl DOUBLE PRECISION,
                expire_time DOUBLE PRECISION,
                purge_time DOUBLE PRECISION,
                life_time DOUBLE PRECISION NOT NULL,
                size_bytes BIGINT NOT NULL,
                stored_bytes BIGINT NOT NULL,
                checksum TEXT NOT NULL,
                create_time DOUBLE PRECISION NOT NULL,
                put_time DOUBLE PRECISION NOT NULL,
                update_time DOUBLE PRECISION NOT NULL,
                used_time DOUBLE PRECISION NOT NULL,
                hit_count BIGINT NOT NULL,
                access_time DOUBLE PRECISION,
                listed_bytes BIGINT NOT NULL,
                blob_id BIGINT,
                content_type TEXT NOT NULL,
                data_type TEXT NOT NULL,
                tags TEXT NOT NULL,
                metadata TEXT NOT NULL,
                value BYTEA,
                PRIMARY KEY (space, key)
            )
            """,
            "CREATE INDEX entries_by_use ON entries (space, used_time)",
            "CREATE INDEX entries_by_purge ON entries (space, purge_time) WHERE purge_time IS NOT NULL",
            "CREATE INDEX entries_by_blob ON entries (blob_id, space) WHERE blob_id IS NOT NULL",
            """
            CREATE TABLE entry_tags (
                space BIGINT NOT NULL,
                tag TEXT NOT NULL,
                key TEXT NOT NULL,
                tenant TEXT NOT NULL,
                PRIMARY KEY (space, tag, key)
            )
            """,
        ),
    ),
)

MIGRATIONS = {"caches": CACHES, "entries": ENTRIES}
