"""What every call passes through, in this order.

1. ``context``: ids, deadline, headers.
2. ``telemetry``: span, duration, one log line.
3. ``errors``: exceptions become a ``google.rpc.Status``.
4. ``decoding``: bytes that are no message.
5. ``auth``: principal, tenant, permission.
6. ``validation``: the rules of the contract.
7. ``idempotency``: repeated changes.

Each is one class with two methods, ``single`` and ``stream``, that wrap a handler once for each RPC method.
"""
