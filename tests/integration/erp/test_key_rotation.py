"""Keys for secrets change without anybody writing a secret anew."""

from __future__ import annotations

import base64
import os

import pytest
from sutler.erp.v1 import erp_pb2
from sutler.errors import FailedPrecondition
from sutler.testing import wait_until

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect, gateway
from tests.integration.erp.test_cache_api import name_of

NEW = base64.b64encode(os.urandom(32)).decode()


async def test_an_old_key_can_go_after_the_new_one_was_put_first(database: str, sandbox: SandboxProcess) -> None:
    mapping = erp_pb2.UserMapping(caller="user:sales", username="demo", secret="demo")
    async with gateway(database) as client:
        made = await connect(client, sandbox.url, user_mappings=[mapping])
    async with gateway(database, secret_keys=f"{NEW},{KEY}") as client:
        await name_of(client, 10)

        async def resealed() -> bool:
            async with gateway(database, secret_keys=NEW) as alone:
                try:
                    await name_of(alone, 10)
                except FailedPrecondition as error:
                    return error.reason != "SECRET_UNREADABLE"
                return True

        await wait_until(resealed, 20)
        found = await client.erp.GetConnection(erp_pb2.GetConnectionRequest(name=MAIN))
        assert found.etag == made.etag
    async with gateway(database, secret_keys=KEY) as client:
        with pytest.raises(FailedPrecondition):
            await name_of(client, 10)
