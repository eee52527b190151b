"""What a handler may ask for that hears a broker itself: said at start, in one sentence."""

import logging

import msgspec

from tidings.brokers import Broker, Channels
from tidings.errors import ConfigurationError
from tidings.handling.policy import Policy, Retry
from tidings.handling.report import say
from tidings.handling.subscription import Subscription

_INLINE = Retry(attempts=4, inline=3)


def check_direct(subscription: Subscription, broker: Broker) -> Subscription:
    """The subscription as this carrier can run it: unless it says otherwise, its failures are tried again only at once
    where the carrier cannot hand an event over later.

    Raises:
        ConfigurationError: it asks for something that needs a log, or a carrier with more abilities.
    """
    name, policy, capabilities, url = subscription.name, subscription.policy, broker.capabilities, broker.url
    needed = _needs_log(subscription) or next(iter(policy.needs_log), None)
    if needed is not None:
        raise ConfigurationError(f"{name} hears {url} directly, and {needed} needs a log: give the application log=...")
    if not (capabilities.dead_letters or subscription.broadcast) and policy.on_exhausted == "dead":
        raise ConfigurationError(
            f"{name} hears {url} directly, which keeps no dead letters: give the application log=..., or say"
            " on_exhausted='stop' or 'drop'"
        )
    if capabilities.delay and not subscription.broadcast:
        return subscription
    waits = next((rule for rule in policy.retry if rule.attempts > rule.inline + 1), None)
    if waits is not None:
        raise ConfigurationError(
            f"{name} hears {url} directly, which hands no event over later: {waits.attempts} attempts need log=..., or"
            f" at most {waits.inline + 1} are made at once"
        )
    return msgspec.structs.replace(subscription, policy=_at_once(policy))


def warn_of_order(subscription: Subscription, channels: Channels, broker: Broker) -> None:
    """Say so where a key's events travel on several channels, between which this carrier keeps no order."""
    warning = order_warning(subscription, channels, broker)
    if warning is not None:
        say(logging.WARNING, "order", group=subscription.name, reason=warning)


def order_warning(subscription: Subscription, channels: Channels, broker: Broker) -> str | None:
    """What is to be known of the order in which a group hears of a key; None: it is as published."""
    order = broker.capabilities.order
    if order == "total":
        return None
    if order == "none":
        return f"{broker.url} keeps no order: events of one key may come in any"
    heard = channels.heard(subscription.group.patterns)
    if heard is not None and len(heard) < 2:
        return None
    which = "any channel" if heard is None else f"the channels {', '.join(sorted(heard))}"
    return (
        f"it hears {which}, and {broker.url} keeps the order of a key on one channel only: App(channels=...) joins them"
    )


def _needs_log(subscription: Subscription) -> str | None:
    flow = subscription.policy.flow
    wanted = {
        "tx": subscription.form.uses_tx,
        "rate": flow.rate is not None,
        "throttle": flow.throttle is not None,
        "debounce": flow.debounce is not None,
        "breaker": flow.breaker is not None,
        "priority": flow.has_priority,
        "singleton": flow.singleton,
        f"start={subscription.group.start!r}": subscription.group.start not in ("earliest", "latest"),
    }
    return next((what for what, is_wanted in wanted.items() if is_wanted), None)


def _at_once(policy: Policy) -> Policy:
    return msgspec.structs.replace(policy, retry=(*policy.retry, _INLINE))
