"""CloudEvents 1.0 as JSON, in and out."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.errors import InvalidEvent
from tidings.events import Event, from_cloudevent, from_cloudevents, read_event, to_cloudevent, to_cloudevents
from tidings.events.envelope import RESERVED_HEADERS

MINIMAL = {"specversion": "1.0", "id": "1", "source": "shop", "type": "order:created"}
FULL = Event(
    id="7",
    source="/shops/north",
    type="order:created",
    version=2,
    data={"order_id": 42, "lines": [{"sku": "CD-9"}]},
    subject="orders/42",
    time=datetime(2026, 1, 31, 12, 30, tzinfo=UTC),
    key="42",
    correlation_id="c",
    causation_id="6",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    headers={"tenant": "north", "urgent": True, "tries": 2},
    position="1-000a",
    recorded_at=datetime(2026, 1, 31, 12, 31, tzinfo=UTC),
    stream="order-42",
    stream_version=3,
)


def document(**changes: Any) -> bytes:
    return json.dumps(MINIMAL | changes).encode()


def test_every_attribute_has_its_cloudevents_name() -> None:
    written = json.loads(to_cloudevent(FULL))

    assert written == {
        "specversion": "1.0",
        "id": "7",
        "source": "/shops/north",
        "type": "order:created",
        "eventversion": 2,
        "datacontenttype": "application/json",
        "data": {"order_id": 42, "lines": [{"sku": "CD-9"}]},
        "subject": "orders/42",
        "time": "2026-01-31T12:30:00Z",
        "partitionkey": "42",
        "correlationid": "c",
        "causationid": "6",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tenant": "north",
        "urgent": True,
        "tries": 2,
        "sequence": "1-000a",
        "recordedtime": "2026-01-31T12:31:00Z",
        "stream": "order-42",
        "streamversion": 3,
    }


def test_no_header_can_pose_as_an_attribute_of_the_envelope() -> None:
    written = json.loads(to_cloudevent(FULL)).keys() - FULL.headers.keys()

    assert written <= RESERVED_HEADERS


def test_a_full_event_comes_back_as_it_was() -> None:
    assert from_cloudevent(to_cloudevent(FULL)) == FULL
    assert read_event(to_cloudevent(FULL)) == FULL


def test_a_minimal_event_is_version_1_and_json() -> None:
    assert from_cloudevent(document()) == Event(id="1", source="shop", type="order:created")


def test_a_null_attribute_is_an_absent_one() -> None:
    assert from_cloudevent(document(subject=None, tenant=None, eventversion=None)) == from_cloudevent(document())


def test_a_version_in_the_type_is_the_version() -> None:
    event = from_cloudevent(document(type="order:created.v2"))

    assert (event.type, event.version) == ("order:created", 2)


def test_a_whole_number_may_come_in_its_text_form() -> None:
    assert from_cloudevent(document(eventversion="3")).version == 3


def test_a_json_string_is_not_parsed_a_second_time() -> None:
    assert from_cloudevent(document(data='{"a": 1}')).data == '{"a": 1}'


def test_raw_data_stays_as_it_stands() -> None:
    text = b'{"specversion":"1.0","id":"1","source":"shop","type":"a","data":{"total": 39.90}}'
    event = from_cloudevent(text, raw=True)

    assert isinstance(event.data, msgspec.Raw)
    assert bytes(event.data) == b'{"total": 39.90}'
    assert b'"data":{"total": 39.90}' in to_cloudevent(event)


def test_a_dataschema_goes_along_as_a_header() -> None:
    event = from_cloudevent(document(dataschema="https://example.org/order"))

    assert json.loads(to_cloudevent(event))["dataschema"] == "https://example.org/order"


@pytest.mark.parametrize("raw", [False, True])
def test_bytes_travel_as_base64(raw: bool) -> None:
    event = Event(id="1", source="shop", type="photo:taken", data=b"\x00\xff", content_type="image/png")

    assert json.loads(to_cloudevent(event))["data_base64"] == "AP8="
    assert from_cloudevent(to_cloudevent(event), raw=raw) == event


def test_nothing_is_assumed_of_base64_without_a_content_type() -> None:
    event = from_cloudevent(document(data_base64="AP8="))

    assert (event.data, event.content_type) == (b"\x00\xff", "application/octet-stream")


def test_json_in_base64_is_read_as_json() -> None:
    text = document(data_base64=base64.b64encode(b'{"a": 1.50}').decode(), datacontenttype="application/json")

    assert from_cloudevent(text).data == {"a": 1.5}
    assert bytes(from_cloudevent(text, raw=True).data) == b'{"a": 1.50}'


def test_text_of_another_type_is_text() -> None:
    event = from_cloudevent(document(data="<a/>", datacontenttype="application/xml"))

    assert event.data == "<a/>"
    assert from_cloudevent(to_cloudevent(event)) == event


@pytest.mark.parametrize(
    "changes",
    [
        {"specversion": "0.3"},
        {"specversion": None},
        {"specversion": 1.0},
        {"id": None},
        {"id": ""},
        {"id": 7},
        {"source": ""},
        {"source": "a b"},
        {"type": "order created"},
        {"type": ["a"]},
        {"subject": ""},
        {"time": "yesterday"},
        {"time": "2026-01-31T12:00:00"},
        {"time": 0},
        {"Tenant": "x"},
        {"data_": "x"},
        {"ratio": 1.5},
        {"list": [1]},
        {"object": {}},
        {"large": 2**31},
        {"note": "two\nlines"},
        {"eventversion": 0},
        {"eventversion": "two"},
        {"eventversion": 2, "type": "order:created.v3"},
        {"data": 1, "data_base64": "AA=="},
        {"data": None, "data_base64": "AA=="},
        {"data_base64": "not base64!"},
        {"data_base64": "é"},
        {"data_base64": 7},
        {"data_base64": "AA==", "datacontenttype": "application/json"},
        {"data": {"a": 1}, "datacontenttype": "text/plain"},
        {"datacontenttype": 7},
        {"datacontenttype": "json"},
    ],
    ids=str,
)
def test_what_is_no_cloudevent_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        from_cloudevent(document(**changes))


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
def test_a_missing_attribute_is_named(name: str) -> None:
    text = json.dumps({key: value for key, value in MINIMAL.items() if key != name}).encode()

    with pytest.raises(InvalidEvent) as caught:
        from_cloudevent(text)

    assert caught.value.attribute == name


@pytest.mark.parametrize("text", [b"[]", b"null", b"3", b'"x"', b"", b"{"])
def test_a_document_that_is_no_object_is_refused(text: bytes) -> None:
    for read in (from_cloudevent, read_event):
        with pytest.raises(InvalidEvent):
            read(text)


def test_a_batch_comes_back_as_it_was_and_may_be_empty() -> None:
    events = [FULL, Event(source="shop", type="a"), Event(source="s", type="b", data=b"x", content_type="text/plain")]

    assert from_cloudevents(to_cloudevents(events)) == events
    assert from_cloudevents(to_cloudevents([])) == []


@pytest.mark.parametrize("text", [b"{}", b"[{}]", b"[1]", b"[" + document() + b"," + document(id="") + b"]"])
def test_one_invalid_element_spoils_a_batch(text: bytes) -> None:
    with pytest.raises(InvalidEvent):
        from_cloudevents(text)


def test_a_document_of_no_known_shape_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="neither"):
        read_event(b'{"type": "order:created"}')


def test_data_without_a_json_form_is_refused_with_the_events_id() -> None:
    with pytest.raises(InvalidEvent) as caught:
        to_cloudevent(Event(id="9", source="shop", type="a", data=object()))

    assert caught.value.event_id == "9"


PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4),
    max_leaves=10,
)
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))
HEADER_NAMES = st.text("abcxyz019", min_size=1, max_size=20).filter(lambda name: name not in RESERVED_HEADERS)
EVENTS = st.builds(
    Event,
    id=PLAIN,
    source=st.sampled_from(["shop", "https://example.org/a%20b?c#d", "/north"]),
    type=st.sampled_from(["order:created", "a.b/c"]),
    version=st.integers(1, 2**31 - 1),
    data=JSON,
    subject=st.none() | PLAIN,
    time=TIMES,
    key=st.none() | PLAIN,
    correlation_id=st.none() | PLAIN,
    causation_id=st.none() | PLAIN,
    headers=st.dictionaries(HEADER_NAMES, PLAIN | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=5),
    position=st.none() | PLAIN,
    recorded_at=TIMES,
    stream=st.none() | PLAIN,
    stream_version=st.none() | st.integers(0, 2**31 - 1),
)


@given(EVENTS)
def test_every_sound_event_comes_back_as_it_was(event: Event) -> None:
    assert from_cloudevent(to_cloudevent(event)) == event
    assert read_event(to_cloudevent(event)) == event


@given(st.binary())
def test_reading_bytes_raises_nothing_but_invalid_event(text: bytes) -> None:
    for read in (from_cloudevent, from_cloudevents, read_event):
        _only_invalid_event(lambda read=read: read(text))  # type: ignore[misc]


MEMBERS = [
    *MINIMAL,
    "time",
    "data",
    "data_base64",
    "datacontenttype",
    "eventversion",
    "traceparent",
    "event",
    "eventId",
]


@given(st.dictionaries(st.sampled_from(MEMBERS) | st.text(), JSON), st.booleans())
def test_reading_any_json_object_raises_nothing_but_invalid_event(members: dict[str, Any], complete: bool) -> None:
    text = json.dumps(MINIMAL | members if complete else members).encode()

    for read in (from_cloudevent, read_event, lambda each: from_cloudevent(each, raw=True)):
        _only_invalid_event(lambda read=read: read(text))  # type: ignore[misc]


def _only_invalid_event(read: Callable[[], object]) -> None:
    try:
        read()
    except InvalidEvent as error:
        str(error)
