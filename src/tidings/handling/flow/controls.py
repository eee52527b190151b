"""`Controls`: what all readers of one group in a process share, so that they keep its limits together."""

from typing import Any

from tidings.clock import Clock
from tidings.errors import CircuitOpen, Conflict, ContractError, Reject
from tidings.handling.flow.circuit import Circuit
from tidings.handling.flow.meter import Meter
from tidings.handling.flow.settings import FlowControl
from tidings.handling.flow.sieve import Sieve

_VERDICTS = (Reject, Conflict, ContractError, CircuitOpen)  # they say nothing of what the handler depends on


class Controls:
    """One group's meter, sieve and circuit, where it has them."""

    def __init__(self, flow: FlowControl, group: str, clock: Clock) -> None:
        self.flow = flow
        self.group = group
        self.meter = None if flow.rate is None else Meter(flow.rate, clock)
        self.sieve = None if flow.throttle is None else Sieve(flow.throttle, clock)
        self.circuit = None if flow.breaker is None else Circuit(group, flow.breaker, clock=clock)

    @property
    def is_shut(self) -> bool:
        """Must no handler be called now?"""
        return self.circuit is not None and not self.circuit.is_closed

    def failed(self, caller: Any, error: BaseException) -> None:
        """A call has failed."""
        if self.circuit is not None and not isinstance(error, _VERDICTS):
            self.circuit.failed(caller, group=self.group)

    def allows_repeat(self) -> bool:
        """May a call be repeated on the spot? It counts as made, then."""
        return not self.is_shut and (self.meter is None or self.meter.take(1) == 1)


def controls_of(flow: FlowControl, group: str, clock: Clock) -> Controls | None:
    """The controls of a group; None for one whose flow is free."""
    return None if flow.is_free else Controls(flow, group, clock)
