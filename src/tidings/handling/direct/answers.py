"""What becomes of events where no ledger keeps the answers: `DirectAnswers`, and `Stopped`, where a group ends."""

from collections.abc import Callable
from typing import Any, Literal

from tidings.clock import Clock
from tidings.errors import ConfigurationError, HandlingError
from tidings.handling.batch import Answers
from tidings.handling.delivery import Item
from tidings.handling.outgoing import Effect, Outgoing
from tidings.handling.subscription import Subscription
from tidings.log import Parked
from tidings.log.record import Draft


class Stopped(HandlingError):
    """A group has given an event up, and was told to stop then."""

    def __init__(self, group: str, given_up: Parked) -> None:
        self.given_up = given_up
        super().__init__(f"{group} has given up event {given_up.event_id} and stops: {given_up.reason}")


class DirectAnswers(Answers):
    """Answers without a ledger: nobody waits behind an event that failed, unless the group stops there.

    Then `halt` is called at once, and whatever has not been handled by then goes without an answer.
    """

    def __init__(self, subscription: Subscription, outgoing: Outgoing, clock: Clock, halt: Callable[[], None]) -> None:
        super().__init__(subscription, outgoing, clock)
        self.has_stopped = False
        self._stops = subscription.policy.on_exhausted == "stop"
        self._halt = halt

    @property
    def is_shut(self) -> bool:
        """Is no further event to be handled?"""
        return self.has_stopped

    def must_wait(self, item: Item) -> bool:
        """Does it stand behind the event at which the group stops, or has a handler that hangs its key?"""
        if not self.has_stopped:
            return super().must_wait(item)
        self._set_aside(item, None, "blocked", reason="comes after the event at which the group stops")
        return True

    def effects_of(self, item: Item, result: Any) -> list[Effect]:
        """As for a log, but now: there is nothing that would keep a timer.

        Raises:
            ConfigurationError: it is to be published later; or see `Answers`.
        """
        return self._now(super().effects_of(item, result))

    def effects_of_many(self, items: list[Item], result: Any) -> list[Effect]:
        """The same for a call with several events.

        Raises:
            ConfigurationError: one is to be published later; or see `Answers`.
        """
        return self._now(super().effects_of_many(items, result))

    def _now(self, effects: list[Effect]) -> list[Effect]:
        if not all(type(effect) is Draft for effect in effects):
            raise ConfigurationError(f"{self._group} returned an event for later, which needs a log: give it log=...")
        return effects

    def _set_aside(
        self,
        item: Item,
        key: str | None,
        state: Literal["retry", "blocked", "dead"],
        attempts: int = 0,
        *,
        due: float = 0.0,
        reason: str,
        detail: str = "",
        blocks: bool = True,
    ) -> None:
        super()._set_aside(item, key, state, attempts, due=due, reason=reason, detail=detail, blocks=False)
        if state == "dead" and self._stops:
            self.has_stopped = True
            self._halt()
