"""The handbook's plain JSON form, in and out, and how its gaps are filled."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tidings.errors import InvalidEvent
from tidings.events import Event, from_handbook, read_event, to_handbook

ORDER = {
    "event": "order:created",
    "version": 1,
    "timestamp": "2026-03-01T08:15:00Z",
    "data": {"orderId": 7, "userId": 12, "items": [{"sku": "CD-1", "quantity": 3}], "total": 44.85},
}
ADDRESS = {"event": "user:address:changed", "data": {"userId": 12, "oldCity": "Kiel", "newCity": "Ulm"}}
PAYMENT = {
    "event": "payment:settled",
    "eventId": "5e1d...7a",
    "traceId": "b802...4c",
    "timestamp": "2026-03-02T10:00:00Z",
}


def text(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def test_an_order_is_read_with_its_version_time_and_data() -> None:
    event = from_handbook(text(ORDER), source="shop")

    assert (event.type, event.version, event.source) == ("order:created", 1, "shop")
    assert event.time == datetime(2026, 3, 1, 8, 15, tzinfo=UTC)
    assert event.data == ORDER["data"]


def test_a_bare_event_is_version_1_of_an_unknown_source_without_a_time() -> None:
    event = from_handbook(text(ADDRESS))

    assert (event.version, event.source, event.time) == (1, "unknown", None)


def test_ids_and_traces_keep_their_places() -> None:
    event = from_handbook(text(PAYMENT | {"source": "bank"}), source="ignored")

    assert (event.id, event.correlation_id, event.source, event.data) == ("5e1d...7a", "b802...4c", "bank", None)


def test_a_missing_id_is_derived_from_the_content_so_that_a_redelivery_is_recognised() -> None:
    again = dict(reversed(ORDER.items()))

    assert from_handbook(text(ORDER)).id == from_handbook(text(again)).id
    assert from_handbook(text(ORDER)).id != from_handbook(text(ORDER | {"version": 2})).id
    assert from_handbook(text(ORDER)).id != from_handbook(text(ORDER), source="other").id


def test_a_version_in_the_name_is_the_version() -> None:
    event = from_handbook(text(ADDRESS | {"event": "user:address:changed.v2"}))

    assert (event.type, event.version) == ("user:address:changed", 2)


@pytest.mark.parametrize("document", [ORDER, ADDRESS, PAYMENT])
def test_an_event_comes_back_as_it_was(document: dict[str, Any]) -> None:
    event = read_event(text(document), source="shop")

    assert from_handbook(to_handbook(event)) == event


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"event": None},
        {"event": 7},
        {"event": "a b"},
        ADDRESS | {"version": "two"},
        ADDRESS | {"version": 0},
        ADDRESS | {"timestamp": "yesterday"},
        ADDRESS | {"timestamp": 1700000000},
        ADDRESS | {"eventId": ""},
        ADDRESS | {"eventId": 7},
        ADDRESS | {"traceId": 7},
        ADDRESS | {"source": []},
        ADDRESS | {"unknown": 1},
    ],
    ids=str,
)
def test_what_is_not_of_this_form_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        from_handbook(text(document))


def test_bytes_have_no_place_in_this_form() -> None:
    with pytest.raises(InvalidEvent):
        to_handbook(Event(source="shop", type="a", data=b"x", content_type="image/png"))
