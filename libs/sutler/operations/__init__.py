"""Long-running operations: durable, resumed after a restart, run by one holder at a time.

``model`` says what an operation is, ``records`` stores it, ``runner`` carries it out, ``execution`` is one attempt,
``servicer`` answers the five RPCs that every API with operations offers, and google.longrunning.Operations on the
service's own port.
"""

from sutler.operations.execution import Execution
from sutler.operations.model import Operation, State
from sutler.operations.runner import OperationRunner

__all__ = ["Execution", "Operation", "OperationRunner", "State"]
