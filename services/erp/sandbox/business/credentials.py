"""Passwords: salted hashes in a table that no remote call can read."""

import hashlib
import hmac
import secrets
from functools import lru_cache
from sqlite3 import Connection

ROUNDS = 10_000


def keep(connection: Connection, user_id: int, password: str) -> None:
    """Set the password of a user."""
    salt = secrets.token_hex(8)
    connection.execute(
        "INSERT INTO sandbox_credential (user_id, hash) VALUES (?, ?) "
        "ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash",
        (user_id, f"{salt}${_digest(salt, password)}"),
    )


def matches(connection: Connection, user_id: int, password: str) -> bool:
    """Tell whether the password is the user's."""
    row = connection.execute("SELECT hash FROM sandbox_credential WHERE user_id = ?", (user_id,)).fetchone()
    if row is None:
        return False
    salt, _, digest = row[0].partition("$")
    return hmac.compare_digest(digest, _digest(salt, password))


@lru_cache(maxsize=256)
def _digest(salt: str, password: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), ROUNDS).hex()
