"""The SQLite tables of the models, and the sandbox's own few tables beside them."""

from collections.abc import Iterator

from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model, Registry

SQL_TYPES = {"boolean": "INTEGER", "integer": "INTEGER", "many2one": "INTEGER", "float": "REAL", "monetary": "REAL"}

OWN_TABLES = (
    "CREATE TABLE sandbox_credential (user_id INTEGER PRIMARY KEY REFERENCES res_users ON DELETE CASCADE, hash TEXT)",
    "CREATE TABLE sandbox_sequence (code TEXT PRIMARY KEY, following INTEGER NOT NULL)",
    "CREATE TABLE sandbox_journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL)",
)


def statements(registry: Registry) -> Iterator[str]:
    """Yield the statements that make an empty database. Ids are never given twice, as in PostgreSQL."""
    for model in registry:
        columns = ["id INTEGER PRIMARY KEY AUTOINCREMENT"]
        columns += [
            _column(registry, name, field) for name, field in model.columns() if name not in ("id", "display_name")
        ]
        columns += [
            f"CONSTRAINT {model.table}_{constraint.name} CHECK ({constraint.condition})"
            for constraint in model.constraints
            if constraint.condition
        ]
        yield f"CREATE TABLE {model.table} ({', '.join(columns)})"
        for constraint in model.constraints:
            if constraint.columns:
                yield (
                    f"CREATE UNIQUE INDEX {model.table}_{constraint.name} "
                    f"ON {model.table} ({', '.join(constraint.columns)})"
                )
        yield from _indexes(model)
        yield from _pair_tables(registry, model)
    yield from OWN_TABLES


def _column(registry: Registry, name: str, field: Field) -> str:
    parts = [name, SQL_TYPES.get(field.type, "TEXT")]
    if field.required:
        parts.append("NOT NULL")
    if field.type == "many2one":
        parts.append(f"REFERENCES {registry[field.relation].table} ON DELETE {field.on_delete.upper()}")
    return " ".join(parts)


def _indexes(model: Model) -> Iterator[str]:
    for name, field in model.columns():
        if field.type == "many2one" or name == "write_date":
            yield f"CREATE INDEX {model.table}_{name}_index ON {model.table} ({name})"


def _pair_tables(registry: Registry, model: Model) -> Iterator[str]:
    for name, field in model.fields.items():
        if field.type == "many2many":
            pairs = model.pairs_table(name)
            yield (
                f"CREATE TABLE {pairs} (here INTEGER NOT NULL REFERENCES {model.table} ON DELETE CASCADE, "
                f"there INTEGER NOT NULL REFERENCES {registry[field.relation].table} ON DELETE CASCADE, "
                "PRIMARY KEY (here, there)) WITHOUT ROWID"
            )
            yield f"CREATE INDEX {pairs}_there_index ON {pairs} (there)"
