"""Who works as whom: from the caller of the gateway to a user of the ERP."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from services.erp import faults
from services.erp.connections import Connection, ErpContext, secret_slot


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the ERP, and where its secret is.

    Attributes:
        username: The login.
        slot: The key of its secret in the connection.
    """

    username: str
    slot: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """As whom, and in which context, the ERP is asked.

    Attributes:
        username: The login in the ERP.
        secret: Its password or API key.
        context: Language, time zone, companies.
        identity: Tells users apart in keys of caches, without their secrets.
    """

    username: str
    secret: str
    context: ErpContext
    identity: str = ""

    def __repr__(self) -> str:
        return f"Ask({self.username!r})"


def choose_login(connection: Connection, caller: str) -> Login:
    """Returns as whom a caller works: what the first mapping says that matches, else the connection's own user.

    Raises:
        PermissionDenied: If no mapping matches and the connection requires one (USER_MAPPING_MISSING).
    """
    for mapping in connection.spec.user_mappings:
        if fnmatchcase(caller, mapping.caller):
            return Login(mapping.username or connection.spec.username, secret_slot(mapping))
    if connection.spec.require_user_mapping:
        raise faults.user_mapping_missing(connection.name, caller)
    return Login(connection.spec.username)
