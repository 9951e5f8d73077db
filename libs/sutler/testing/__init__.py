"""What tests of Sutler's services, and of programs that use or extend them, need.

::

    async with sutler.testing.serve(app, Settings, data="sqlite:///:memory:") as (client, running):
        await client.cache.GetCache(...)

* :func:`serve`: a service in this process, on a free port, with a client.
* :class:`ServiceProcess`: a service as a process of its own, to be killed, paused and started again.
* :class:`Stack`: the whole local stack of a checkout, on free ports.
* :func:`postgresql_database`, :func:`postgresql_schema`: places of one's own in PostgreSQL.
* :func:`redis_prefix`: keys of one's own in the Redis at :func:`redis_url`.
* :func:`nats_names`: streams of one's own in the NATS at :func:`nats_url`.
* :func:`wait_until`, :func:`wait_blocking`: instead of sleeping.
* :func:`free_port`, :func:`free_ports`.
* :mod:`sutler.testing.fake_provider`: a type of provider in memory, with faults.
* :mod:`sutler.testing.provider_plugins`: what every ProviderPlugin must do.
"""

from sutler.testing.engines import (
    missing,
    nats_names,
    nats_url,
    postgresql_database,
    postgresql_schema,
    redis_prefix,
    redis_url,
)
from sutler.testing.ports import free_port, free_ports
from sutler.testing.processes import ServiceProcess, is_gone
from sutler.testing.server import serve
from sutler.testing.stack import Stack
from sutler.testing.waiting import wait_blocking, wait_until

__all__ = [
    "ServiceProcess",
    "Stack",
    "free_port",
    "free_ports",
    "is_gone",
    "missing",
    "nats_names",
    "nats_url",
    "postgresql_database",
    "postgresql_schema",
    "redis_prefix",
    "redis_url",
    "serve",
    "wait_blocking",
    "wait_until",
]
