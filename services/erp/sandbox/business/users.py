"""Users: a partner for everybody, a password that is kept apart, and what the context of a user is."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.erp.sandbox.business import credentials
from services.erp.sandbox.orm import writing
from services.erp.sandbox.orm.behaviour import Action, Behaviour, Values
from services.erp.sandbox.orm.env import Env


def context_get(env: Env) -> dict[str, Any]:
    """Return language, time zone and id of the caller."""
    return {"lang": env.user.lang, "tz": env.user.tz or False, "uid": env.user.id}


class UserBehaviour(Behaviour):
    """What `res.users` does beyond the common operations."""

    class_actions: Mapping[str, Action] = {"context_get": context_get}

    def complete(self, env: Env, values: Values) -> None:
        """Make the partner, take the first company."""
        if not values.get("company_id"):
            values["company_id"] = env.value("SELECT MIN(id) FROM res_company")
        if not values.get("partner_id") and values.get("name"):
            partner = {"name": values["name"], "email": values.get("email", False)}
            values["partner_id"] = writing.create(env, env.model("res.partner"), partner)

    def created(self, env: Env, identifier: int, values: Values) -> None:
        """Keep the password; without one nobody can log in."""
        self.written(env, [identifier], values)

    def written(self, env: Env, ids: Sequence[int], values: Values) -> None:
        """Keep a new password."""
        if values.get("password"):
            for identifier in ids:
                credentials.keep(env.connection, identifier, str(values["password"]))
