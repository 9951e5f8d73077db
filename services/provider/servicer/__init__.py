"""The RPCs: messages to calls of the domain, and back."""

from services.provider.servicer.handler import MachineSetHandler
from services.provider.servicer.service import ProviderServicer

__all__ = ["MachineSetHandler", "ProviderServicer"]
