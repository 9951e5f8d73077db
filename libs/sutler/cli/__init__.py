"""The ``sutler`` command."""

from sutler.cli.app import main

__all__ = ["main"]
