"""The stubs of the contracts: they are no part of a checkout, so that a program can find them missing."""

import sys
from pathlib import Path

STUB = Path(__file__).parent / "type/v1/permission_pb2.py"
"""One of those that every program needs; all are made together."""


def require() -> None:
    """Ends the program with one line and code 1 if the stubs have not been made."""
    if not STUB.exists():
        sys.exit("the stubs of the contracts are not there: run `make setup`")
