"""The way out: a value becomes an event, with its contract's name, an id, a time, and where it comes from."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.events import Catalog, Contract, Event, contract_of, derived_id, new_id
from tidings.handling.delivery import Item, current, event_of
from tidings.log.record import Draft, draft


class Outgoing:
    """Makes the events of one application."""

    def __init__(self, source: str, catalog: Catalog, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._by_type: dict[Any, Contract] = {}
        for contract in catalog:
            self._by_type.setdefault(contract.type, contract)
        self._catalog = catalog

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
        """The event of a contract's `value`; of a name with `data`; or of an Event, completed.

        Inside a handler it is caused by what the handler was given.

        Raises:
            ContractError: the data does not fit.
            ConfigurationError: the value is of no contract.
            InvalidEvent, InvalidName: an attribute cannot be recorded.
        """
        if isinstance(value, Event):
            return self._caused(value).checked()
        contract, encoded = self._encoded(value, data)
        event = Event(
            id=id or new_id(),
            source=self._source,
            type=value if contract is None else contract.name,
            version=1 if contract is None else contract.version,
            data=encoded,
            key=key or (None if contract is None else contract.key_of(value if data is msgspec.UNSET else data)),
            subject=subject,
            time=datetime.fromtimestamp(self._clock.now(), UTC),
            correlation_id=correlation_id,
            headers=headers or {},
        )
        if contract is None or id or key or subject or correlation_id or headers or event.key:
            event = event.checked()
        return self._caused(event)

    def effects(self, result: Any, item: Item, group: str) -> list[Draft]:
        """What a handler returned, as events ready to be recorded; their ids come out the same at each attempt.

        Raises:
            ConfigurationError: it returned something that is no event.
        """
        values = result if isinstance(result, list | tuple) and contract_of(type(result)) is None else (result,)
        cause = event_of(item)
        drafts = []
        for index, value in enumerate(values):
            if value is None:
                continue
            event = self.event(value, id=derived_id(cause.id, cause.source, group, str(index)))
            event = msgspec.structs.replace(
                event,
                correlation_id=cause.correlation_id or cause.id,
                causation_id=cause.id,
                traceparent=event.traceparent or cause.traceparent,
                key=event.key or cause.key,
            )
            drafts.append(draft(event, public=self.is_public(event.type)))
        return drafts

    def is_public(self, name: str) -> bool:
        """May other services see events of this name?"""
        contract = self._catalog.contract_for(name)
        return contract is None or contract.public

    def _encoded(self, value: Any, data: Any) -> tuple[Contract | None, Any]:
        if isinstance(value, str):
            contract = self._catalog.contract_for(value)
            if data is msgspec.UNSET:
                data = None
            if contract is None:
                return None, data
            return contract, msgspec.Raw(contract.encode(contract.convert(data)))
        contract = contract_of(type(value)) or self._by_type.get(type(value))
        if contract is None:
            raise ConfigurationError(
                f"{type(value).__name__} is no event: decorate the class with @event, or pass contract(name, type) in"
                " App(contracts=[...])"
            )
        return contract, msgspec.Raw(contract.encode(value))

    def _caused(self, event: Event) -> Event:
        cell = current.get()
        if cell is None or cell.item is None or event.causation_id is not None:
            return event
        cause = event_of(cell.item)
        return msgspec.structs.replace(
            event,
            correlation_id=event.correlation_id or cause.correlation_id or cause.id,
            causation_id=cause.id,
            traceparent=event.traceparent or cause.traceparent,
        )


