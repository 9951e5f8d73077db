"""Handlers of resource types in Python: a base class, and what it works with.

``base`` is the class, ``calls`` what it is told, ``actions`` declares actions, ``resources`` reaches other resources,
``cache`` keeps what was looked up, ``models`` does what concerns pydantic. ``servicer`` makes of a handler the contract
that ResourceService calls, ``serving`` serves it from a process of its own.
"""

from sutler.handlers.actions import action
from sutler.handlers.base import Found, Handler
from sutler.handlers.cache import TtlCache
from sutler.handlers.calls import ActionCall, Call
from sutler.handlers.models import Data, FieldError
from sutler.handlers.resources import Resources

__all__ = ["ActionCall", "Call", "Data", "FieldError", "Found", "Handler", "Resources", "TtlCache", "action"]
