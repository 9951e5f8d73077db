"""Long-running operations: durable, resumed after a restart, run by one holder at a time.

``model`` says what an operation is, ``records`` stores it, ``runner`` carries it out, ``servicer`` answers the five
RPCs that every API with operations offers, and google.longrunning.Operations on the service's own port.
"""

from sutler.operations.model import Operation, State
from sutler.operations.runner import Execution, OperationRunner

__all__ = ["Execution", "Operation", "OperationRunner", "State"]
