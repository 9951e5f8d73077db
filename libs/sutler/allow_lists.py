"""Allow-lists of addresses, as operators write them."""

from __future__ import annotations

from fnmatch import fnmatchcase


def allows(pattern: str, url: str) -> bool:
    """Returns whether an entry of an allow-list covers an address: scheme, host, port, and the path if it names one.

    A ``*`` stays within its part: one in the host never reaches into the path.
    """
    wanted, given = _parts(pattern), _parts(url)
    if wanted is None or given is None:
        return False
    return all(fnmatchcase(part, fits.replace("[", "[[]")) for part, fits in zip(given, wanted, strict=True))


def _parts(address: str) -> tuple[str, str, str, str] | None:
    """Returns scheme, host, port and path; None if it is no address."""
    scheme, separator, rest = address.partition("://")
    place, _, path = rest.partition("/")
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, "443" if scheme.lower() == "https" else "80"
    if not separator or not host or not (port.isdecimal() or "*" in port):
        return None
    return scheme.lower(), host.lower(), port, path or "*"
