"""The metadata keys that calls carry."""

CORRELATION = "x-correlation-id"
"""Ties log lines, traces and errors of a chain of calls together; made by the first server if it is absent."""

TENANT = "x-sutler-tenant"
"""The tenant to act for; needs ``<area>.tenants.actAs`` if it is not the token's own."""

ON_BEHALF_OF = "x-sutler-on-behalf-of"
"""The principal whose work a service does, as :func:`sutler.auth.encode_principal` writes it."""

AREA = "x-sutler-area"
"""On a health check through the gateway: the service that is meant, such as ``cache``."""

IF_MATCH = "if-match"
"""The etag that the thing to be changed must still have (RFC 9110, 13.1.1)."""

STATUS = "grpc-status-details-bin"
"""The trailer that holds a serialised ``google.rpc.Status``."""
