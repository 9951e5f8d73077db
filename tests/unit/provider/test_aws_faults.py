"""What becomes of errors of AWS."""

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ReadTimeoutError
from sutler.errors import SutlerError

from services.provider.adapters.aws.faults import told
from services.provider.adapters.plugin.faults import FINAL, TRANSIENT, diagnosed
from services.provider.diagnostics import Category, Kind

SECRET = "AKIAEXAMPLE is not allowed"


def refused(code: str, status: int = 400) -> ClientError:
    about = {"Error": {"Code": code, "Message": SECRET}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(about, "RunInstances")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "reason", "category", "kind"),
    [
        (refused("InsufficientInstanceCapacity", 500), "CAPACITY_MISSING", Category.CAPACITY, Kind.CAPACITY),
        (refused("VcpuLimitExceeded"), "PROVIDER_QUOTA_EXCEEDED", Category.CAPACITY, Kind.CAPACITY),
        (refused("RequestLimitExceeded", 503), "THROTTLED", Category.RATE_LIMIT, Kind.TRANSIENT),
        (refused("SlowDown", 429), "THROTTLED", Category.RATE_LIMIT, Kind.TRANSIENT),
        (refused("ExpiredToken"), "CREDENTIALS_REJECTED", Category.AUTH, Kind.PERMANENT),
        (NoCredentialsError(), "CREDENTIALS_REJECTED", Category.AUTH, Kind.PERMANENT),
        (refused("InvalidAMIID.NotFound"), "IMAGE_NOT_FOUND", Category.VALIDATION, Kind.PERMANENT),
        (refused("IdempotentParameterMismatch"), "OUTCOME_UNKNOWN", Category.UNKNOWN, Kind.UNKNOWN),
        (refused("NewTrouble", 502), "DEPENDENCY_UNAVAILABLE", Category.INTERNAL, Kind.TRANSIENT),
        (ReadTimeoutError(endpoint_url=SECRET), "DEPENDENCY_UNAVAILABLE", Category.INTERNAL, Kind.TRANSIENT),
        (refused("InvalidParameterValue"), "PROVIDER_REFUSED", Category.VALIDATION, Kind.PERMANENT),
    ],
)
def test_each_kind_of_trouble_is_told_apart(error: Exception, reason: str, category: Category, kind: Kind) -> None:
    with pytest.raises(SutlerError) as caught, told("eu-west-1"):
        raise error
    found = caught.value
    diagnostic = diagnosed(found)
    assert (found.reason, diagnostic.category, diagnostic.kind) == (reason, category, kind)
    assert SECRET not in str(found) + str(found.metadata) + diagnostic.summary
    repeated = isinstance(found, TRANSIENT) and found.reason not in FINAL
    assert repeated == (kind is Kind.TRANSIENT)
