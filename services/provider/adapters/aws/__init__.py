"""Machines of Amazon EC2, as a type that is written as packages write theirs.

What needs the package ``aiobotocore`` is imported when the type is made, so that a service runs without it.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from sutler.providers import ProviderType

TYPE = "aws"


def installed() -> bool:
    """Returns whether what the type needs is here."""
    return find_spec("aiobotocore") is not None


def aws_type(endpoint_url: str) -> ProviderType[Any]:
    """Returns the type, which has not begun its life.

    Args:
        endpoint_url: A server that speaks like AWS; AWS itself if empty.
    """
    from services.provider.adapters.aws.kind import AwsProvider

    return AwsProvider(endpoint_url)


__all__ = ["TYPE", "aws_type", "installed"]
