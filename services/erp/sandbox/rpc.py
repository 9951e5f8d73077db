"""The three RPC services: `common` (log in), `db` (which databases), `object` (call methods of models)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.erp.sandbox.errors import MissingPosition, RpcError, UnknownKey, UnknownServiceMethod
from services.erp.sandbox.orm import methods
from services.erp.sandbox.orm.env import Env, User
from services.erp.sandbox.sessions import Sessions, checked_context
from services.erp.sandbox.store import Store

DATABASE = "demo"
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time in UTC, without a zone, as it is stored."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call answers (None: nothing at all) and how many records it touched."""

    result: Any
    rows: int = 1


class Rpc:
    """Answers calls. Safe for use by many threads.

    `version` is the main version of the server that it stands in for.
    """

    def __init__(self, store: Store, sessions: Sessions, version: int) -> None:
        self._store = store
        self._sessions = sessions
        self.server_version = f"{version}.0+sandbox"
        self.version_info = [version, 0, 0, "final", 0, ""]

    def call(self, service: Any, method: Any, args: Sequence[Any], now: datetime) -> Outcome:
        """Answer one call that began at `now`; RpcError for everything that is to be answered as an error."""
        match service:
            case "common":
                return Outcome(self._common(method, args))
            case "db":
                return Outcome(self._db(method))
            case "object":
                return self._object(method, args, now)
            case _:
                raise UnknownKey(service)

    def _common(self, method: Any, args: Sequence[Any]) -> Any:
        match method:
            case "version":
                return {
                    "server_version": self.server_version,
                    "server_version_info": self.version_info,
                    "server_serie": self.server_version.partition("+")[0],
                    "protocol_version": 1,
                }
            case "login" | "authenticate":
                database, login, password = _first(args, 3)
                return self._sessions.authenticate(database, login, password)
            case _:
                raise RpcError(f"Method not found: {method}")

    def _db(self, method: Any) -> Any:
        match method:
            case "list":
                return [DATABASE]
            case "server_version":
                return self.server_version
            case _:
                raise UnknownKey(f"Method not found: {method}")

    def _object(self, method: Any, args: Sequence[Any], now: datetime) -> Outcome:
        database, uid, password = _first(args, 3)
        user = self._sessions.check(database, uid, password)
        if method not in ("execute", "execute_kw"):
            raise UnknownServiceMethod(f"Method not available {method}")
        name, called, *rest = _first(args[3:], 2) + list(args[5:])
        keywords: dict[str, Any] = {}
        if method == "execute_kw":
            [rest] = rest[:1] or [[]]
            keywords = dict(args[6] or {}) if len(args) > 6 else {}
        return self.execute(user, name, str(called), rest, keywords, now)

    def execute(
        self, user: User, model: Any, method: str, args: Sequence[Any], named: Mapping[str, Any], now: datetime
    ) -> Outcome:
        """Call a method of a model as `user`; RpcError. A context may be among the `named` arguments."""
        keywords = dict(named)
        context = checked_context(user, keywords.pop("context", None))

        def run(env: Env) -> Any:
            return methods.call(env, env.model(model), method, args, keywords)

        return Outcome(*self._store.run(run, user, context, now, writes=self._writes(model, method)))

    def _writes(self, model: Any, method: Any) -> bool:
        common = methods.COMMON.get(method)
        behaviour = self._store.behaviours.get(model)
        return (common is not None and common.writes) or (behaviour is not None and method in behaviour.actions)


def _first(args: Sequence[Any], count: int) -> list[Any]:
    if len(args) < count:
        raise MissingPosition("list index out of range")
    return list(args[:count])
