"""The Python client: ``async with sutler.client.connect("127.0.0.1:8080", token=…) as s: …``."""

from sutler.client.connection import Sutler, connect
from sutler.client.operations import Progress

__all__ = ["Progress", "Sutler", "connect"]
