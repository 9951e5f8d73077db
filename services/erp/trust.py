"""The address and the certificates of a connection: whether they can be used at all."""

from __future__ import annotations

import re
import ssl
from urllib.parse import urlsplit

from sutler.errors import Violation, invalid_fields

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


def trust(context: ssl.SSLContext, certificates: str) -> None:
    """Makes a context trust certificates in PEM.

    Raises:
        Invalid: If they are none.
    """
    try:
        # Python takes ASCII only; what else there is in a bundle are comments between the certificates.
        context.load_verify_locations(cadata=certificates.encode("ascii", "ignore").decode())
    except (ssl.SSLError, ValueError) as error:
        description = "cannot be read: give whole certificates in PEM, from BEGIN CERTIFICATE to END CERTIFICATE"
        raise invalid_fields([Violation("connection.ca_certificates", description, "FIELD_INVALID")]) from error


def check_reach(url: str, certificates: str) -> None:
    """Checks an address, and the certificates that are trusted there besides the system's.

    Raises:
        Invalid: If either cannot be used.
    """
    try:
        usable = not _UNPRINTABLE.search(url) and urlsplit(url).port != 0
    except ValueError:  # a port that is no number or too large, or a broken IPv6 address
        usable = False
    if not usable:
        description = "is not an address such as https://erp.example.com:8069; its port is a number from 1 to 65535"
        raise invalid_fields([Violation("connection.url", description, "FIELD_INVALID")])
    if certificates:
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificates)
