"""The list of models: which of them a user may read."""

from collections.abc import Mapping
from typing import Any

from services.erp.sandbox.orm import access
from services.erp.sandbox.orm.behaviour import Action, Behaviour
from services.erp.sandbox.orm.env import Env


def get_available_models(env: Env) -> list[dict[str, Any]]:
    """Return the models that an internal user may read; none to others."""
    if env.user.role == "portal":
        return []
    rows = env.rows("SELECT model, name FROM ir_model ORDER BY model")
    return [
        {"display_name": title, "model": model} for model, title in rows if access.may(env, env.model(model), "read")
    ]


class ListingBehaviour(Behaviour):
    """What `ir.model` does beyond the common operations."""

    class_actions: Mapping[str, Action] = {"get_available_models": get_available_models}
