"""Floor 2. Listeners in one process: on, emit, and nothing else needed. Imports errors."""

from tidings.emitter.emitter import Emitter

__all__ = ["Emitter"]
