"""One look at the log for all groups of a process: who asks for the same place gets the same slice, decoded once."""

import asyncio
from collections import OrderedDict

import msgspec

from tidings.errors import ContractError, LogDamaged
from tidings.events import DECODE_FAILURES, Catalog, PatternSet
from tidings.events.envelope import is_json
from tidings.handling.delivery import Item
from tidings.log import Log, Record, Slice, Where
from tidings.log.position import Epoch
from tidings.log.record import envelope_of

_REMEMBERED = 8


class Fetched(msgspec.Struct):
    """A slice with its records decoded: `items`, the names among them, and whether values may be shared."""

    slice: Slice
    items: list[Item]
    types: frozenset[str]
    shareable: bool
    is_taken: bool = False  # has a group got these values, which are its own then?


class Feed:
    """Reads for the groups of one application in one process."""

    def __init__(
        self,
        log: Log,
        catalog: Catalog | None,
        types: frozenset[str] | None,
        *,
        public: bool = False,
        limit: int = 2000,
    ) -> None:
        self._log = log
        self._catalog = catalog  # None: whoever reads here wants records as they are
        self._types = types
        self._public = public
        self._limit = limit
        self._wants_whole = False  # has something been met that a lean record says too little of?
        self._looks: OrderedDict[tuple[str, Where], asyncio.Task[Fetched]] = OrderedDict()

    async def look(
        self, after: str, lanes: frozenset[int] | None, *, lean: bool, passing: frozenset[int] = frozenset()
    ) -> Fetched:
        """What comes after `after` in these lanes (None: all of them), at once; orders in `passing` are left out."""
        where = Where(types=self._types, lanes=lanes, public=self._public, lean=lean, passing=passing)
        fetched = await asyncio.shield(self._begin(after, where))
        if not fetched.slice.at_head:
            _ = self._begin(fetched.slice.upto, where)  # the reader's thread need not wait for the handlers
        return fetched

    def close(self) -> None:
        """Drop what nobody has asked for yet."""
        for task in self._looks.values():
            task.cancel()
        self._looks.clear()

    def own(self, fetched: Fetched, hears: PatternSet) -> list[Item]:
        """The items a group hears; with values of its own where they could be changed by another group."""
        items = fetched.items
        if not all(map(hears.matches, fetched.types)):
            items = [item for item in items if hears.matches(item.record.type)]
        if fetched.shareable or not fetched.is_taken:
            fetched.is_taken = True
            return items
        return self.decode([item.record for item in items], fetched.slice.epoch)

    def decode(self, records: list[Record], epoch: Epoch) -> list[Item]:
        """Records as items; one that cannot be decoded says why."""
        if self._catalog is None:
            return [Item(record, epoch) for record in records]
        items: list[Item] = []
        add = items.append
        decode, again, known_type, known_version = None, None, "", 0
        for record in records:
            if decode is None or record.type != known_type or record.version != known_version:
                known_type, known_version = record.type, record.version
                decode = self._catalog.decoder(known_type, known_version)
                again = None if self._is_shareable(known_type) else decode
            try:
                add(Item(record, epoch, decode(record.data), None, again))
            except Exception as error:  # a type's own code may raise anything, and must not stop the other groups
                add(self._undecoded(record, epoch, error))
        return items

    def _undecoded(self, record: Record, epoch: Epoch, error: Exception) -> Item:
        """What is no JSON, and says so of itself, is handled as it is, unless a contract knows better."""
        if not self._has_contract(record.type):
            self._wants_whole = record.envelope is None  # which says what the data is
            if record.envelope is not None and not _is_json(record):
                return Item(record, epoch, record.data)
        return Item(record, epoch, None, self._failure(record, error))

    def _failure(self, record: Record, error: Exception) -> ContractError:
        assert self._catalog is not None
        if isinstance(error, DECODE_FAILURES):
            return self._catalog.translate(record.type, record.version, error)
        return ContractError(record.type, record.version, "$", f"{type(error).__name__}: {error}")

    def _begin(self, after: str, where: Where) -> asyncio.Task[Fetched]:
        task = self._looks.get((after, where))
        if task is None:
            task = self._looks[after, where] = asyncio.create_task(self._fetch(after, where))
            task.add_done_callback(_noted)
            if len(self._looks) > _REMEMBERED:
                self._looks.popitem(last=False)
        return task

    async def _fetch(self, after: str, where: Where) -> Fetched:
        try:
            found = await self._log.scan(after, where, self._limit)
        except BaseException:
            self._looks.pop((after, where), None)
            raise
        if found.upto == after:
            self._looks.pop((after, where), None)  # nothing yet: the next who asks must look again
        self._wants_whole = False
        items = self.decode(found.records, found.epoch)
        if self._wants_whole and where.lean:
            found = await self._log.scan(after, msgspec.structs.replace(where, lean=False), self._limit)
            items = self.decode(found.records, found.epoch)
        types = frozenset({record.type for record in found.records})
        return Fetched(found, items, types, all(map(self._is_shareable, types)))

    def _has_contract(self, name: str) -> bool:
        return self._catalog is not None and self._catalog.contract_for(name) is not None

    def _is_shareable(self, name: str) -> bool:
        if self._catalog is None:
            return True
        contract = self._catalog.contract_for(name)
        return contract is not None and contract.shareable


def _is_json(record: Record) -> bool:
    try:
        return is_json(envelope_of(record, "").content_type)
    except LogDamaged:  # which is told where it matters
        return True


def _noted(task: asyncio.Task[Fetched]) -> None:
    """Look at the error of a slice that was fetched ahead; whoever needs it asks again and meets it."""
    if not task.cancelled():
        task.exception()
