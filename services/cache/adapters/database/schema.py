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
    Migration(
        2,
        "counters, and how many calls wait in each process",
        (
            """
            CREATE TABLE counters (
                space BIGINT NOT NULL,
                name TEXT NOT NULL,
                tenant TEXT NOT NULL,
                value BIGINT NOT NULL,
                PRIMARY KEY (space, name)
            )
            """,
            """
            CREATE TABLE gauges (
                space BIGINT NOT NULL,
                process TEXT NOT NULL,
                tenant TEXT NOT NULL,
                waiters BIGINT NOT NULL,
                watchers BIGINT NOT NULL,
                report_time DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (space, process)
            )
            """,
        ),
    ),
)

_BEFORE = (
    "space, key, tenant, kind, etag, ttl, expire_time, purge_time, life_time, size_bytes, stored_bytes, "
    "checksum, create_time, put_time, update_time, used_time, hit_count, access_time, listed_bytes, "
    "blob_id, content_type, data_type, tags, metadata"
)

# `value` comes last, so that SQLite reads all the others without walking through it. `used_time` is the rank of an
# entry when room is made: when it was last put or accessed, or later where it was accessed often (ranks.py).
# `listed_bytes` is about what the entry takes in a list.
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
    Migration(
        2,
        "leases, what near caches are told, packed values, signatures",
        (
            "ALTER TABLE entries RENAME TO entries_before",
            "DROP INDEX entries_by_use",
            "DROP INDEX entries_by_purge",
            "DROP INDEX entries_by_blob",
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
                packing BIGINT NOT NULL,
                signature TEXT NOT NULL,
                value BYTEA,
                PRIMARY KEY (space, key)
            )
            """,
            f"INSERT INTO entries ({_BEFORE}, packing, signature, value)"
            f" SELECT {_BEFORE}, 1, '', value FROM entries_before",
            "DROP TABLE entries_before",
            "CREATE INDEX entries_by_use ON entries (space, used_time)",
            "CREATE INDEX entries_by_purge ON entries (space, purge_time) WHERE purge_time IS NOT NULL",
            "CREATE INDEX entries_by_blob ON entries (blob_id, space) WHERE blob_id IS NOT NULL",
            "CREATE INDEX entries_by_data_type ON entries (tenant, data_type) WHERE data_type <> ''",
            "ALTER TABLE blobs ADD COLUMN packing BIGINT NOT NULL DEFAULT 1",
            "ALTER TABLE blobs ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0",
            "UPDATE blobs SET stored_bytes = size_bytes",
            "ALTER TABLE spaces ADD COLUMN leases BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE spaces ADD COLUMN told BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE spaces ADD COLUMN followed_from BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE spaces ADD COLUMN followed_until DOUBLE PRECISION NOT NULL DEFAULT 0",
            """
            CREATE TABLE key_leases (
                space BIGINT NOT NULL,
                key TEXT NOT NULL,
                tenant TEXT NOT NULL,
                token TEXT NOT NULL,
                tags TEXT NOT NULL,
                expire_time DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (space, key)
            )
            """,
            "CREATE INDEX key_leases_by_end ON key_leases (expire_time)",
            """
            CREATE TABLE invalidations (
                space BIGINT NOT NULL,
                number BIGINT NOT NULL,
                tenant TEXT NOT NULL,
                scope BIGINT NOT NULL,
                subject TEXT NOT NULL,
                cause BIGINT NOT NULL,
                etag TEXT NOT NULL,
                event_time DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (space, number)
            )
            """,
            "CREATE INDEX invalidations_by_time ON invalidations (event_time)",
        ),
    ),
    Migration(
        3,
        "how often the entries of a cache were changed",
        ("ALTER TABLE spaces ADD COLUMN version BIGINT NOT NULL DEFAULT 0",),
    ),
)

MIGRATIONS = {"caches": CACHES, "entries": ENTRIES}
