"""Floor 4. Events handed to handlers: subscriptions, policy, lanes, answers. Imports log and events."""

from tidings.handling.alerts import Alerts
from tidings.handling.delivery import Delivery
from tidings.handling.policy import Policy, Retry
from tidings.handling.subscription import Subscription

__all__ = ["Alerts", "Delivery", "Policy", "Retry", "Subscription"]
