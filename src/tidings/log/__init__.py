"""Floor 2. What has happened, on disk: the log, and the ledger of who has read how far. Imports events."""

from tidings.log.group import Lease
from tidings.log.interface import Ledger, Lineage, Log, Transaction
from tidings.log.lineage import Fate, Outcome
from tidings.log.open import look_into, open_log
from tidings.log.parked import Parked
from tidings.log.position import START
from tidings.log.record import Draft, Record
from tidings.log.retention import Retain
from tidings.log.settlement import Settlement
from tidings.log.slices import ALL, ANY, EXISTS, NONE, Appended, Expect, Slice, Where
from tidings.log.timers import Fired, Timer, Timers

__all__ = [
    "ALL",
    "ANY",
    "EXISTS",
    "NONE",
    "START",
    "Appended",
    "Draft",
    "Expect",
    "Fate",
    "Fired",
    "Lease",
    "Ledger",
    "Lineage",
    "Log",
    "Outcome",
    "Parked",
    "Record",
    "Retain",
    "Settlement",
    "Slice",
    "Timer",
    "Timers",
    "Transaction",
    "Where",
    "look_into",
    "open_log",
]
