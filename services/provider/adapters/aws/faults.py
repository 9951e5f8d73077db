"""Errors of AWS in the service's own words; only the code of one is told, never its text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)
from sutler.errors import Conflict, Exhausted, FailedPrecondition, SutlerError, Unavailable

CAPACITY = frozenset(
    {
        *("InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity"),
        *("InsufficientCapacity", "InsufficientFreeAddressesInSubnet", "SpotMaxPriceTooLow"),
    }
)
QUOTA = frozenset({"InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"})
THROTTLED = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "EC2ThrottledException", "TooManyRequestsException"}
)
REJECTED = frozenset(
    {
        *("AuthFailure", "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "InvalidClientTokenId"),
        *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "SignatureDoesNotMatch", "OptInRequired"),
        *("Blocked", "IncompleteSignature", "MissingAuthenticationToken", "InvalidIdentityToken"),
    }
)
DOWN = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout"})
NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError)
THROTTLED_SECONDS = 2.0


def code_of(error: ClientError) -> str:
    """Returns AWS's code of an error."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


@contextmanager
def told(region: str) -> Iterator[None]:
    """Makes of errors of AWS in the block errors of the contract.

    Args:
        region: Where it is.
    """
    try:
        yield
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        raise from_code(code_of(error), region, status) from error
    except NO_CREDENTIALS as error:
        raise from_code("AuthFailure", region) from error
    except BotoCoreError as error:
        raise from_code("Unavailable", region) from error


def from_code(code: str, region: str, status: int = 0) -> SutlerError:
    """Returns the error for a code of AWS.

    Args:
        code: The code, such as ``InsufficientInstanceCapacity``.
        region: Where it is.
        status: The status of HTTP; 0 if there was none.
    """
    about = {"code": code, "region": region}
    where = f"AWS in {region}"
    if code in CAPACITY:
        return Exhausted(f"{where} has no room for the machine ({code})", reason="CAPACITY_MISSING", metadata=about)
    if code in QUOTA:
        return Exhausted(f"the account's quota in {region} is used up ({code})", reason=_QUOTA, metadata=about)
    if code in THROTTLED or status == 429:
        pause = timedelta(seconds=THROTTLED_SECONDS)
        return Exhausted(f"{where} wants fewer calls", reason="THROTTLED", metadata=about, retry_after=pause)
    if code in REJECTED:
        return FailedPrecondition(f"{where} rejects the credentials ({code})", reason=_REJECTED, metadata=about)
    if code.startswith("InvalidAMIID"):
        return FailedPrecondition(f"{where} has no such image ({code})", reason="IMAGE_NOT_FOUND", metadata=about)
    if code == "IdempotentParameterMismatch":
        return Conflict(f"{where} knows this launch with another template", reason="OUTCOME_UNKNOWN", metadata=about)
    if code in DOWN or status >= 500:
        return Unavailable(f"{where} cannot be asked now", metadata={"dependency": "aws", "cause": code})
    return FailedPrecondition(f"{where} refuses the call ({code})", reason="PROVIDER_REFUSED", metadata=about)


_QUOTA = "PROVIDER_QUOTA_EXCEEDED"
_REJECTED = "CREDENTIALS_REJECTED"
