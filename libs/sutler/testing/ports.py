"""Finds ports that nobody listens on."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 20_000, 32_000
"""Where ranges are looked for: below the ports that Linux gives to outgoing connections, so that none takes one."""

_random = random.SystemRandom()
"""Not the shared generator: tests that seed it would send several processes to the same places."""


def free_port() -> int:
    """Returns a loopback port that nobody listens on now."""
    return free_ports(1)


def free_ports(count: int, *, step: int = 1) -> int:
    """Returns the first of some loopback ports that nobody listens on now.

    Nothing keeps them free until they are used; tests that run side by side look in random places.

    Args:
        count: How many.
        step: The distance from one to the next.

    Raises:
        OSError: If there is no such range.
    """
    last = step * (count - 1)
    for _ in range(1000):
        first = _random.randrange(LOWEST, HIGHEST - last)
        if all(_is_free(first + step * number) for number in range(count)):
            return first
    raise OSError(f"no {count} free ports between {LOWEST} and {HIGHEST}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Without it a port counts as taken while connections of its last owner linger.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
