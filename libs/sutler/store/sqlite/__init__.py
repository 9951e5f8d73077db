"""SQLite: the default engine, one file in WAL mode, or memory for tests and trials."""

from sutler.store.sqlite.engine import SqliteEngine
from sutler.store.sqlite.memory import MemoryEngine

__all__ = ["MemoryEngine", "SqliteEngine"]
