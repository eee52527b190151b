"""Errors of what carries events between services."""

from tidings.errors.root import TidingsError, short


class BrokerError(TidingsError):
    """The carrier between services failed; worth another try."""


class BrokerUnreachable(BrokerError):
    """Nobody answers at a carrier's address, or not in time: `url` (without its password), `reason`."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        advice = "see that its server runs, and check address, user and password"
        super().__init__(f"{url} cannot be reached: {reason}; {advice}")


class EventRefused(BrokerError):
    """The carrier takes no such event, however often it is offered: `event_id`, `reason`."""

    def __init__(self, event_id: str, reason: str) -> None:
        self.event_id = event_id
        self.reason = reason
        super().__init__(f"event {short(event_id)} is refused by the carrier: {reason}")


class NotSupported(BrokerError):
    """A carrier cannot do what it was asked for: `url`, `what`."""

    def __init__(self, url: str, what: str) -> None:
        self.url = url
        self.what = what
        super().__init__(f"{url} cannot {what}: see the table of carriers for one that can")
