"""Under which keys answers of the ERP are kept, and which tags they have.

A key names tenant, connection, user, model, record and fields, so that nobody sees what another user would. Tags name
the connection, the model and each record that an answer is made of.
"""

from __future__ import annotations

from services.erp.expanding import Touched
from services.erp.links import Link
from services.erp.records import key_of
from services.erp.wanting import View

MAX_TAGS = 900


def connection_tag(uid: str) -> str:
    """Returns the tag of everything that was read through a connection."""
    return f"erp/{uid}"


def model_tag(uid: str, model: str) -> str:
    """Returns the tag of answers to searches in a model."""
    return f"erp/{uid}/{model}"


def record_tag(uid: str, model: str, record_id: int) -> str:
    """Returns the tag of everything that is made of a record."""
    return f"erp/{uid}/{model}/{record_id}"


def records_tag(uid: str, model: str) -> str:
    """Returns the tag of everything that is made of any record of a model."""
    return f"erp/{uid}/{model}/*"


def key_in(view: View, what: str) -> str:
    """Returns the key of an answer in a view: of a record its id, else what tells the question from others."""
    connection, context = view.link.connection, view.ask.context
    form = [view.covers.digest, context.time_zone, context.company_ids, dict(context.extra)]
    scope = [connection.tenant, connection.uid, str(connection.epoch), view.ask.identity]
    return "/".join([*scope, view.schema.name, what, key_of(form)])


def tags_of(link: Link, touched: Touched) -> list[str]:
    """Returns the tags of an answer by the records that it is made of."""
    uid = link.connection.uid
    models = {model for model, _ in touched}
    return [
        connection_tag(uid),
        *(records_tag(uid, model) for model in sorted(models)),
        *(record_tag(uid, model, one) for model, one in sorted(touched)),
    ]
