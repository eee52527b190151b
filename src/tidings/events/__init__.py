"""Floor 1. Imports errors and clock.

What an event is: its envelope, the contract of its data, old versions read as the newest, names and patterns, and the
JSON documents events travel in.
"""

from tidings.events.catalog import DECODE_FAILURES, Catalog
from tidings.events.codec import from_cloudevent, from_cloudevents, read_event, to_cloudevent, to_cloudevents
from tidings.events.contract import Contract, contract, contract_of, event
from tidings.events.documents import encode_json
from tidings.events.envelope import Event
from tidings.events.handbook import from_handbook, to_handbook
from tidings.events.identity import derived_id, new_id, new_ids
from tidings.events.names import Pattern, PatternSet, check_name, matches, split_version
from tidings.events.upcasting import upcast

__all__ = [
    "DECODE_FAILURES",
    "Catalog",
    "Contract",
    "Event",
    "Pattern",
    "PatternSet",
    "check_name",
    "contract",
    "contract_of",
    "derived_id",
    "encode_json",
    "event",
    "from_cloudevent",
    "from_cloudevents",
    "from_handbook",
    "matches",
    "new_id",
    "new_ids",
    "read_event",
    "split_version",
    "to_cloudevent",
    "to_cloudevents",
    "to_handbook",
    "upcast",
]
