"""Finds the generated contracts."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from google.longrunning import operations_pb2


@cache
def modules() -> tuple[ModuleType, ...]:
    """Imports every generated ``*_pb2`` module and returns them, so that the descriptor pool knows every contract.

    Raises:
        ImportError: If the stubs were not generated; ``make gen`` does it.
    """
    root = Path(__file__).parent
    found = sorted(root.glob("*/v1/*_pb2.py"))
    if not found:
        raise ImportError("the stubs are missing: run `make gen`")
    return tuple(importlib.import_module(f"sutler.{p.parts[-3]}.v1.{p.stem}") for p in found)


@cache
def service_names() -> tuple[str, ...]:
    """Returns the full names of all services of the contracts, and of google.longrunning.Operations."""
    files = [module.DESCRIPTOR for module in modules()]
    names = [service.full_name for file in files for service in file.services_by_name.values()]
    names += [service.full_name for service in operations_pb2.DESCRIPTOR.services_by_name.values()]
    return tuple(names)
