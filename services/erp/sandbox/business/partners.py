"""Partners: names that include the company, the commercial entity, no loops, no deletion under a user."""

from collections.abc import Callable, Sequence

from services.erp.sandbox.errors import RedirectWarning, ValidationError
from services.erp.sandbox.orm import writing
from services.erp.sandbox.orm.behaviour import Behaviour, Values
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.sql import one_of
from services.erp.sandbox.schema.partners import KINDS

NAMING = frozenset({"name", "parent_id", "is_company", "company_name", "type"})


class PartnerBehaviour(Behaviour):
    """What `res.partner` does beyond the common operations."""

    def created(self, env: Env, identifier: int, values: Values) -> None:
        """Name the new partner after its company."""
        refresh(env, [identifier])

    def written(self, env: Env, ids: Sequence[int], values: Values) -> None:
        """Rename the partners and everything below them; refuse loops."""
        if "parent_id" in values:
            _refuse_loops(env, ids)
        if NAMING & values.keys():
            refresh(env, ids)

    def unlinking(self, env: Env, ids: Sequence[int]) -> Callable[[], None]:
        """Refuse to delete the partner of an active user."""
        listed = one_of(ids)
        users = env.rows(
            f"SELECT id, name FROM res_users WHERE active = 1 AND partner_id IN {listed.text} ORDER BY name",
            listed.params,
        )
        if users:
            names = ", ".join(name for _, name in users)
            action = {
                "type": "ir.actions.act_window",
                "res_model": "res.users",
                "context": {"create": False},
                "view_mode": "form",
                "views": [[1, "form"]],
                "res_id": users[0][0],
            }
            raise RedirectWarning(
                "You cannot delete contacts linked to an active user.\nYou should rather archive them after archiving "
                f"their associated user.\n\nLinked active users : {names}",
                action,
                "Go to users",
                None,
            )
        return super().unlinking(env, ids)

    def copying(self, env: Env, values: Values) -> None:
        """Mark the copy as one."""
        if values.get("name"):
            values["name"] = f"{values['name']} (copy)"


def refresh(env: Env, ids: Sequence[int]) -> None:
    """Work out complete name and commercial entity of partners and of all below them."""
    model = env.model("res.partner")
    waiting = list(ids)
    while waiting:
        listed = one_of(waiting)
        rows = env.rows(
            "SELECT c.id, c.name, c.type, c.is_company, c.company_name, p.id, p.name, e.id, e.name, e.is_company,"
            " c.complete_name, c.commercial_partner_id, c.commercial_company_name FROM res_partner c"
            " LEFT JOIN res_partner p ON p.id = c.parent_id LEFT JOIN res_partner e ON e.id = p.commercial_partner_id"
            f" WHERE c.id IN {listed.text}",
            listed.params,
        )
        for identifier, name, kind, company, company_name, parent, parent_name, *entity, c1, c2, c3 in rows:
            if company or parent is None:
                entity = [identifier, name, company]
            entity_name = entity[1] if entity[2] else company_name
            shown = name or dict(KINDS).get(kind, "") if company_name or parent else name
            if (company_name or parent) and not company:
                shown = f"{entity_name or parent_name}, {shown}"
            new = [shown, entity[0], entity_name]
            if new != [c1, c2, c3]:
                columns = ("complete_name", "commercial_partner_id", "commercial_company_name")
                writing.update(env, model, [identifier], dict(zip(columns, new, strict=True)))
        children = f"SELECT id FROM res_partner WHERE parent_id IN {listed.text}"
        waiting = [row[0] for row in env.rows(children, listed.params)]


def _refuse_loops(env: Env, ids: Sequence[int]) -> None:
    for start in ids:
        seen: set[int] = set()
        current: int | None = start
        while current is not None:
            if current in seen:
                raise ValidationError("You cannot create recursive Partner hierarchies.")
            seen.add(current)
            current = env.value("SELECT parent_id FROM res_partner WHERE id = ?", (current,))
