"""Provider type ``process``: each machine is an operating-system process on this host."""

from services.provider.adapters.process.kind import ProcessKind

__all__ = ["ProcessKind"]
