"""Many customers for a new database, made by one statement: 200,000 take a second or two."""

from services.erp.sandbox.orm import writing
from services.erp.sandbox.orm.env import Env

OWN = ("id", "name", "complete_name", "ref", "email", "commercial_partner_id")
BELGIUM = 20


def fill(env: Env, number: int) -> None:
    """Create `number` customers, named `Customer 1` and so on, with `crowd-1` and so on as their references."""
    if number < 1:
        return
    model = env.model("res.partner")
    values = {"is_company": True, "country_id": BELGIUM, "city": "Ghent", "phone": "+32 9 000 00 01"}
    first = writing.create(env, model, {"name": "Customer 1", "ref": "crowd-1", "email": "c1@crowd.example", **values})
    same = [name for name, _ in model.columns() if name not in OWN and name != "display_name"]
    listed = ", ".join([*OWN, *same])
    env.execute(
        f"WITH RECURSIVE n (i) AS (SELECT 2 WHERE ? > 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        f"INSERT INTO {model.table} ({listed}) "
        f"SELECT ? + i - 1, 'Customer ' || i, 'Customer ' || i, 'crowd-' || i, 'c' || i || '@crowd.example', "
        f"? + i - 1, {', '.join(f't.{name}' for name in same)} FROM n, {model.table} t WHERE t.id = ?",
        (number, number, first, first, first),
    )
