"""What the domain needs from outside: a store, handlers that make resources real, and what encrypts secrets."""

from services.resource.ports.handlers import HandlerBook, Handlers
from services.resource.ports.secrets import SecretBox
from services.resource.ports.store import Store
from services.resource.ports.unit import Result, Unit
from services.resource.ports.view import Above, View

__all__ = ["Above", "HandlerBook", "Handlers", "Result", "SecretBox", "Store", "Unit", "View"]
