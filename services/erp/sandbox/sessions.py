"""Who calls: logins, passwords, and the checks on the context that a caller sends."""

import hmac
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from services.erp.sandbox.business import credentials
from services.erp.sandbox.errors import AccessDenied, AccessError, BadValue, MissingError, UnknownDatabase, UserError
from services.erp.sandbox.orm.env import User
from services.erp.sandbox.schema.core import LANGUAGES
from services.erp.sandbox.store import Store

ADMIN_LOGIN = "admin"


class Sessions:
    """Checks callers against the users of the one database. There is no limit on attempts, as on a real server."""

    def __init__(self, store: Store, database: str, api_key: SecretStr | None) -> None:
        self._store = store
        self._database = database
        self._api_key = api_key.get_secret_value() if api_key else None

    def authenticate(self, database: Any, login: Any, password: Any) -> int | bool:
        """Return the id of the user, or false for a wrong login or password; UnknownDatabase."""
        self._require(database)
        user = self._store.user("login", login)
        return user.id if user is not None and self._matches(user, password) else False

    def check(self, database: Any, uid: Any, password: Any) -> User:
        """Return the user of a call; UnknownDatabase, MissingError for an unknown id, AccessDenied."""
        self._require(database)
        try:
            identifier = int(uid)
        except (ValueError, TypeError) as error:
            raise BadValue(str(error)) from None
        user = self._store.user("id", identifier)
        if user is None:
            raise MissingError("res.users", [identifier], identifier)
        if not self._matches(user, password):
            raise AccessDenied
        return user

    def of_key(self, database: Any, key: str) -> User | None:
        """Return the user whom an API key lets in, if any; here passwords are keys too. UnknownDatabase."""
        self._require(database)
        known = (self._store.user("id", identifier) for identifier in self._store.user_ids())
        return next((user for user in known if user is not None and self._matches(user, key)), None)

    def _require(self, database: Any) -> None:
        if database != self._database:
            raise UnknownDatabase(database)

    def _matches(self, user: User, password: Any) -> bool:
        if not isinstance(password, str) or not password:
            return False
        if self._api_key and user.login == ADMIN_LOGIN and hmac.compare_digest(password, self._api_key):
            return True
        with self._store.database.read() as connection:
            return credentials.matches(connection, user.id, password)


def checked_context(user: User, context: Any) -> Mapping[str, Any]:
    """Return the context; UserError for an unknown language, AccessError for a company that is not the user's."""
    given: dict[str, Any] = dict(context) if isinstance(context, dict) else {}
    language = given.get("lang")
    if language and language not in [code for code, _ in LANGUAGES]:
        raise UserError(f"Invalid language code: {language}")
    companies = given.get("allowed_company_ids") or []
    if any(company != user.company_id for company in companies):
        raise AccessError("Access to unauthorized or invalid companies.")
    return given
