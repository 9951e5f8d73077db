"""What the domain needs from outside: a store, handlers that make resources real, and what encrypts secrets."""

from services.resource.ports.handlers import HandlerBook, Handlers
from services.resource.ports.secrets import SecretBox
from services.resource.ports.store import Above, Result, Store, Unit, View

__all__ = ["Above", "HandlerBook", "Handlers", "Result", "SecretBox", "Store", "Unit", "View"]
