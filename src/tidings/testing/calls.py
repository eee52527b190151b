"""The calls of handlers, watched: which are under way, which went well, and which of them are settled."""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from tidings.events import Event
from tidings.handling.delivery import Item
from tidings.handling.direct.arrivals import NOWHERE
from tidings.handling.form import Form
from tidings.handling.subscription import Subscription
from tidings.log.record import envelope_of
from tidings.testing.activity import Activity


class Call(msgspec.Struct):
    """What one group's handler has done with one event."""

    group: str
    order: int
    attempts: int = 0  # the attempt of the latest call
    count: int = 0  # calls in all: more than attempts when what came of one was lost
    under_way: int = 0
    error: BaseException | None = None  # of the latest call
    is_settled: bool = False


class Calls:
    """Every call of every handler, by group and event."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._known: dict[tuple[str, int], Call] = {}
        self._came: dict[tuple[str, str], int] = {}  # of what a broker has handed over: source and id -> order there
        self._broadcasts: set[str] = set()
        self._open: dict[str, dict[int, Call]] = {}  # by group: what no settlement has covered since the latest call
        self._lock = threading.Lock()  # plain handlers are called on threads

    def watch(self, subscription: Subscription, *, hears_broker: bool = False) -> Subscription:
        """The same subscription, its calls watched."""
        form = WatchedForm(**msgspec.structs.asdict(subscription.form), calls=self)
        if subscription.broadcast:
            self._broadcasts.add(subscription.name)
        if hears_broker:  # its records have no place in a log to be known by; whole, they have their ids
            form = msgspec.structs.replace(form, returns_events=True)
        return msgspec.structs.replace(subscription, form=form)

    def came(self, event: Event, order: int) -> None:
        """A broker hands an event over that lies there in this place."""
        with self._lock:
            self._came[event.source, event.id] = order

    @contextlib.contextmanager
    def calling(self, group: str, items: Sequence[Item]) -> Iterator[None]:
        """The handler is called in this block: with one item, or with a list of all."""
        with self._lock:
            calls = [self._begun(group, item) for item in items]
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            with self._lock:
                for call in calls:
                    call.under_way -= 1
                    call.error = error
            self._activity.note()

    def _begun(self, group: str, item: Item) -> Call:
        order = self._order(item)
        call = self._known.setdefault((group, order), Call(group, order))
        call.attempts, call.count, call.under_way = item.attempts + 1, call.count + 1, call.under_way + 1
        call.is_settled = False
        self._open.setdefault(group, {})[order] = call
        return call

    def _order(self, item: Item) -> int:
        if item.epoch is not NOWHERE:
            return item.record.order
        event = envelope_of(item.record, item.position)
        return self._came[event.source, event.id]

    def under_way(self) -> list[Call]:
        """The calls that have not returned."""
        with self._lock:
            return [call for calls in self._open.values() for call in calls.values() if call.under_way]

    def settled(self) -> list[Call]:
        """What went well and is committed, in the order of the log."""
        with self._lock:
            calls = [call for call in self._known.values() if call.is_settled and call.error is None]
        return sorted(calls, key=lambda call: (call.order, call.group))

    def is_answered(self, group: str, order: int) -> bool:
        """Has the latest call of this group with this event gone well, whether or not it is settled?"""
        with self._lock:
            call = self._known.get((group, order))
        return call is not None and not call.under_way and call.error is None

    def open(self, group: str) -> list[Call]:
        """The calls that have returned, and that no settlement has covered since."""
        with self._lock:
            return [call for call in self._open.get(group, {}).values() if not call.under_way]

    def safe(self, group: str | None, orders: Collection[int]) -> None:
        """A broker will not hand these over again to a group, or to those that hear it without one (None)."""
        groups = self._broadcasts if group is None else {group}
        self.settle([each for name in groups for each in self.open(name) if each.order in orders])

    def settle(self, calls: Iterable[Call]) -> None:
        """What these calls have done is committed."""
        with self._lock:
            for call in calls:
                call.is_settled = True
                self._open[call.group].pop(call.order, None)


class WatchedForm(Form, frozen=True):
    """A handler's form that tells of each call."""

    calls: Any = None  # Calls; a field with a default, as those of Form end with one

    @property
    def of_value(self) -> None:
        """No call goes past the watch."""

    def caller(self, group: str) -> Callable[[Any, Any], Any]:
        """`call(item, tx)` or `call(items, tx)`, watched."""
        call, calls, takes_list = Form.caller(self, group), self.calls, self.takes_list

        async def awaited(given: Any, tx: Any) -> Any:
            with calls.calling(group, given if takes_list else [given]):
                return await call(given, tx)

        def called(given: Any, tx: Any) -> Any:
            with calls.calling(group, given if takes_list else [given]):
                return call(given, tx)

        return awaited if self.is_async else called
