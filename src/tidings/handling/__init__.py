"""Floor 4. Events handed to handlers: subscriptions, policy, lanes, answers. Imports log and events."""

from tidings.handling.delivery import Delivery
from tidings.handling.flow.announcing import BreakerClosed, BreakerOpened
from tidings.handling.flow.circuit_breaker import CircuitBreaker
from tidings.handling.flow.settings import Batch, Breaker, Debounce, Rate, Throttle
from tidings.handling.oversight.alerts import (
    Alerts,
    EventsDead,
    GroupCaughtUp,
    GroupLagging,
    GroupOrphaned,
    GroupPaused,
)
from tidings.handling.policy import Policy, Retry
from tidings.handling.subscription import Subscription
from tidings.handling.timing.every import Tick
from tidings.handling.timing.later import Later

__all__ = [
    "Alerts",
    "Batch",
    "Breaker",
    "BreakerClosed",
    "BreakerOpened",
    "CircuitBreaker",
    "Debounce",
    "Delivery",
    "EventsDead",
    "GroupCaughtUp",
    "GroupLagging",
    "GroupOrphaned",
    "GroupPaused",
    "Later",
    "Policy",
    "Rate",
    "Retry",
    "Subscription",
    "Throttle",
    "Tick",
]
