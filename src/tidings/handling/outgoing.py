"""The way out: a value becomes an event, with its contract's name, an id, a time, and where it comes from."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.events import (
    Catalog,
    Contract,
    Event,
    contract_of,
    derived_id,
    encode_json,
    new_id,
    new_ids,
    split_version,
)
from tidings.events.envelope import is_json
from tidings.handling.asking import Answer, answer, answer_name, asks, failure
from tidings.handling.delivery import Item, cause, event_of
from tidings.handling.timing.later import Delay, Later, due_at, timed
from tidings.log import Timer
from tidings.log.record import Draft, draft

Effect = Draft | Timer  # an event to be recorded with its cause's answer, or one to be scheduled with it


class Outgoing:
    """Makes the events of one application."""

    def __init__(self, source: str, catalog: Catalog, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._catalog = catalog
        self._own_answers = answer_name(source)
        self._by_type: dict[Any, Contract] = {}
        for contract in catalog:
            self._by_type.setdefault(contract.type, contract)
        self._private = {contract.name for contract in catalog if not contract.public}
        self._millisecond = 0
        self._moment = datetime.fromtimestamp(0, UTC)

    def event(
        self,
        value: Any,
        *,
        data: Any = msgspec.UNSET,
        id: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        correlation_id: str | None = None,
        headers: dict[str, str | int | bool] | None = None,
    ) -> Event:
        """The event of a contract's `value`; of a name with `data`; or an Event, with what is given here.

        Inside a handler it is caused by what the handler was given, whose record must be whole.

        Raises:
            ContractError: the data does not fit.
            ConfigurationError: the value is of no contract.
            InvalidEvent, InvalidName: an attribute cannot be recorded.
        """
        if isinstance(value, Event):
            given = {"id": id, "key": key, "subject": subject, "correlation_id": correlation_id, "headers": headers}
            return self._caused(self._completed(value, {name: each for name, each in given.items() if each}))
        contract, content = self._contract_and_content(value, data)
        event = Event(
            id=id or new_id(),
            source=self._source,
            type=value if contract is None else contract.name,
            version=1 if contract is None else contract.version,
            data=content if contract is None else msgspec.Raw(contract.encode(content)),
            key=key or (None if contract is None else contract.key_of(content)),
            subject=subject,
            time=self._now(),
            correlation_id=correlation_id,
            headers=headers or {},
        )
        if contract is None or id or subject or correlation_id or headers or not _is_simple(event.key):
            event = event.checked()  # the rest was made here
        return self._caused(event)

    def events(self, values: Sequence[Any]) -> list[Event]:
        """The events of several values, as `event` makes each; what they share is looked up once.

        Raises:
            ContractError, ConfigurationError, InvalidEvent, InvalidName: as `event`, of the first that does not go.
        """
        contracts, source, moment = self._by_type, self._source, self._now()
        made: list[Event] = []
        for value, id in zip(values, new_ids(len(values)), strict=True):
            contract = None if isinstance(value, Event | str) else contracts.get(type(value))
            if contract is None:  # an Event has an id; others are a name, or the first of their class
                made.append(self.event(value, id=None if isinstance(value, Event) else id))
                continue
            data, key = msgspec.Raw(contract.encode(value)), contract.key_of(value)
            event = Event(
                id=id, source=source, type=contract.name, version=contract.version, data=data, key=key, time=moment
            )
            made.append(event if _is_simple(key) else event.checked())
        return made if cause() is None else [self._caused(event) for event in made]

    def effects(self, result: Any, item: Item, group: str) -> list[Effect]:
        """What a handler returned, as events ready to be recorded; their ids come out the same at each attempt.

        Raises:
            ConfigurationError: it returned something that is no event.
            ContractError, InvalidEvent: it returned an event that cannot be recorded.
        """
        origin = event_of(item)
        if origin.headers and asks(origin):
            return [self._written(answer(origin, group, self._source, self._said(result)))]
        return self._effects(result, origin, (origin.id, origin.source, group))

    def failure(self, error: BaseException, item: Item, group: str) -> list[Effect] | None:
        """The answer to a question that could not be answered; None when the event is no question."""
        origin = event_of(item)
        if not origin.headers or not asks(origin):
            return None
        return [self._written(answer(origin, group, self._source, failure(error, group)))]

    def _said(self, result: Any) -> Answer:
        """What a handler returned to a question: a value of a contract, or anything that has a JSON form.

        Raises:
            ContractError, InvalidEvent: it cannot be written down.
        """
        contract = self._by_type.get(type(result)) or contract_of(type(result))
        if contract is not None:
            return Answer(msgspec.Raw(contract.encode(result)), contract.name, contract.version)
        return Answer(msgspec.Raw(encode_json(result)))

    def _written(self, event: Event) -> Draft:
        return draft(event, public=self.is_public(event.type))

    def effects_of_many(self, result: Any, items: list[Item], group: str) -> list[Effect]:
        """What a handler returned for several events: caused by the last of them.

        Ids derive from all of them: the same events together give the same ids, and others give others. A key is
        inherited where they share one.

        Raises:
            ConfigurationError, ContractError, InvalidEvent: as `effects`.
        """
        if len(items) == 1:
            return self.effects(result, items[0], group)
        events = [event_of(item) for item in items]
        keys = {event.key or event.stream for event in events}
        last = events[-1] if len(keys) == 1 else msgspec.structs.replace(events[-1], key=None, stream=None)
        return self._effects(result, last, (*[part for event in events for part in (event.id, event.source)], group))

    def _effects(self, result: Any, origin: Event, root: tuple[str, ...]) -> list[Effect]:
        values = result if isinstance(result, list | tuple) and contract_of(type(result)) is None else (result,)
        effects: list[Effect] = []
        for index, value in enumerate(values):
            if value is None:
                continue
            content = value.event if type(value) is Later else value
            event = after(origin, self.event(content, id=derived_id(*root, str(index))))
            if type(value) is Later:
                due = due_at(self._clock.now(), delay=value.delay, at=value.at)
                effects.append(self._timer(timed(event, content, due), due))
            else:
                effects.append(self._written(event))
        return effects

    def later(
        self, event: Event, value: Any, *, delay: Delay | None, at: datetime | None
    ) -> tuple[Event, Timer] | None:
        """The `event` made of `value` as it will be, and its timer; None when its moment has come already.

        Raises:
            InvalidEvent: no moment is meant.
        """
        later = self.all_later([event], [value], delay=delay, at=at)
        return None if later is None else later[0]

    def all_later(
        self, events: Sequence[Event], values: Sequence[Any], *, delay: Delay | None, at: datetime | None
    ) -> list[tuple[Event, Timer]] | None:
        """As `later`, for several that are due at one moment.

        Raises:
            InvalidEvent: no moment is meant.
        """
        now = self._clock.now()
        due = due_at(now, delay=delay, at=at)
        if due <= int(now * 1e6):
            return None
        as_due = [timed(event, value, due) for event, value in zip(events, values, strict=True)]
        return [(event, self._timer(event, due)) for event in as_due]

    def is_public(self, name: str) -> bool:
        """May other services see events of this name?"""
        return name not in self._private and name != self._own_answers

    def _timer(self, event: Event, due: int) -> Timer:
        return Timer(due, draft(event, public=self.is_public(event.type)))

    def _contract_and_content(self, value: Any, data: Any) -> tuple[Contract | None, Any]:
        """What is known of a value, or of a name and its data; and the content, of the contract's type where known."""
        if isinstance(value, str):
            data = None if data is msgspec.UNSET else data
            contract = self._catalog.contract_for(*split_version(value))
            return contract, data if contract is None else contract.convert(data)
        contract = self._by_type.get(type(value))
        if contract is not None:
            return contract, value
        contract = contract_of(type(value))
        if contract is None:
            raise ConfigurationError(
                f"{type(value).__name__} is no event: decorate the class with @event, or pass contract(name, type) in"
                " App(contracts=[...])"
            )
        self._by_type[contract.type] = contract
        if not contract.public:
            self._private.add(contract.name)  # nobody need have told the catalog of it
        return contract, value

    def _completed(self, event: Event, given: dict[str, Any]) -> Event:
        event = msgspec.structs.replace(event, **given).checked()
        contract = self._catalog.contract_for(event.type, event.version)
        if contract is None or not is_json(event.content_type):
            return event
        if isinstance(event.data, msgspec.Raw):
            return msgspec.structs.replace(event, key=event.key or contract.key_of(contract.decode(event.data)))
        content = contract.convert(event.data)
        key = event.key or contract.key_of(content)
        return msgspec.structs.replace(event, key=key, data=msgspec.Raw(contract.encode(content)))

    def _caused(self, event: Event) -> Event:
        known = cause()
        return event if known is None else after(event_of(known[0]), event)

    def _now(self) -> datetime:
        """The time in milliseconds; many events of one millisecond share the object."""
        millisecond = int(self._clock.now() * 1000)
        if millisecond != self._millisecond:
            self._moment = datetime.fromtimestamp(millisecond / 1000, UTC)
            self._millisecond = millisecond
        return self._moment


def after(origin: Event, event: Event) -> Event:
    """The event with what it inherits from its cause, where it says nothing itself."""
    return msgspec.structs.replace(
        event,
        correlation_id=event.correlation_id or origin.correlation_id or origin.id,
        causation_id=event.causation_id or origin.id,
        traceparent=event.traceparent or origin.traceparent,
        key=event.key or origin.key or origin.stream,
    )


def divided(effects: Sequence[Effect]) -> tuple[list[Draft], list[Timer]]:
    """What is to be recorded now, and what later."""
    drafts: list[Draft] = []
    timers: list[Timer] = []
    for effect in effects:
        if isinstance(effect, Timer):
            timers.append(effect)
        else:
            drafts.append(effect)
    return drafts, timers


def _is_simple(key: str | None) -> bool:
    """Is this key plainly sound? Most are, and need no closer look."""
    return key is None or (0 < len(key) <= 255 and key.isascii() and key.isprintable())
