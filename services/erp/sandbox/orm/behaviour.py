"""What a model may add to the common operations. The base class adds nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.erp.sandbox.orm.env import Env

Values = dict[str, Any]
Action = Callable[..., Any]


class Behaviour:
    """Hooks around the common operations, and the methods that only this model has.

    The hooks run inside the transaction of the call: an exception undoes everything.
    """

    actions: Mapping[str, Action] = {}
    """Methods by name. Each takes (env, ids, …); the caller's arguments are bound by its signature."""

    class_actions: Mapping[str, Action] = {}
    """Methods that take no records: (env, …)."""

    def complete(self, env: Env, values: Values) -> None:
        """Fill in what the caller left out of a record to create."""

    def created(self, env: Env, identifier: int, values: Values) -> None:
        """Do what follows from a new record."""

    def writing(self, env: Env, ids: Sequence[int], values: Values) -> None:
        """Check or complete the values of a write."""

    def written(self, env: Env, ids: Sequence[int], values: Values) -> None:
        """Do what follows from a write."""

    def unlinking(self, env: Env, ids: Sequence[int]) -> Callable[[], None]:
        """Check a deletion; what is returned runs after it."""
        return lambda: None

    def copying(self, env: Env, values: Values) -> None:
        """Change the values taken over from the original; what the caller gave for the copy comes after."""
