"""PostgreSQL: the engine for several machines. Each service has a schema of its own in a database."""

from sutler.store.postgresql.engine import PostgresqlEngine

__all__ = ["PostgresqlEngine"]
