"""Asks a provider what it has: an answer that is none says nothing of its machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sutler.errors import SutlerError

from services.provider.diagnostics import ProviderFailed, to_error


class Unseen(Exception):
    """A provider could not tell what it has.

    Args:
        error: Why.
    """

    def __init__(self, error: SutlerError) -> None:
        super().__init__(error.message)
        self.error = error


@contextmanager
def asking(provider: str) -> Iterator[None]:
    """Turns whatever a provider answers instead of what it has into Unseen."""
    try:
        yield
    except SutlerError as error:
        raise Unseen(error) from error
    except ProviderFailed as failure:
        raise Unseen(to_error(replace(failure.diagnostic, provider=provider), provider)) from failure
