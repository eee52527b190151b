"""Where an event comes from, what it caused, who did what with it and why twice: found, told, and drawn."""

from tidings.handling.trace.finding import DEPTH, LIMIT, locate, trace
from tidings.handling.trace.mermaid import mermaid
from tidings.handling.trace.model import Reception, Step, Trace, Traced
from tidings.handling.trace.tree import tree

__all__ = ["DEPTH", "LIMIT", "Reception", "Step", "Trace", "Traced", "locate", "mermaid", "trace", "tree"]
