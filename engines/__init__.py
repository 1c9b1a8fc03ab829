"""Which kernel a run uses: virtual, uml, native, or none with sim; building it and probing what this machine can do."""

from engines.base import Engine, EngineError, Job, Outcome
from engines.choose import choose

__all__ = ["Engine", "EngineError", "Job", "Outcome", "choose"]
