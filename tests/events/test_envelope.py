"""The envelope: what is accepted, what is refused, and what is set right."""

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.errors import InvalidEvent
from tidings.events import Event
from tidings.events.envelope import MAX_HEADERS, RESERVED_HEADERS, is_json, is_traceparent

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def made(**attributes: Any) -> Event:
    return Event(**{"id": "1", "source": "shop", "type": "order:created", **attributes})


def test_an_event_has_a_new_id_unless_one_is_given() -> None:
    assert Event(source="shop", type="a").id != Event(source="shop", type="a").id
    assert made(id="mine").id == "mine"


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        made().type = "other"  # type: ignore[misc]


def test_an_event_survives_pickling() -> None:
    event = made(data={"a": 1}, time=datetime(2026, 1, 1, tzinfo=UTC), headers={"tenant": "x"})

    assert pickle.loads(pickle.dumps(event)) == event


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [({}, "1"), ({"stream": "order-7"}, "order-7"), ({"stream": "order-7", "key": "7"}, "7")],
)
def test_the_delivery_key_is_the_key_else_the_stream_else_the_id(attributes: dict[str, str], expected: str) -> None:
    assert made(**attributes).delivery_key == expected


def test_a_sound_event_is_given_back_as_it_is() -> None:
    event = made(
        data={"order_id": 42},
        subject="orders/42",
        time=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        key="42",
        correlation_id="c",
        causation_id="b",
        traceparent=TRACE,
        headers={"tenant": "north", "urgent": True, "tries": -1, "dataschema": "https://example.org/schema"},
        position="1-0001",
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        stream="order-42",
        stream_version=3,
    )

    assert event.checked() is event


def test_a_version_in_the_type_becomes_the_version() -> None:
    event = made(type="order:created.v2").checked()

    assert (event.type, event.version) == ("order:created", 2)


def test_two_versions_that_disagree_are_refused() -> None:
    with pytest.raises(InvalidEvent, match="it says 3"):
        made(type="order:created.v2", version=3).checked()


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("id", ""),
        ("id", "x" * 256),
        ("id", "a\x00"),
        ("id", "a\x85"),
        ("id", "\ud800"),
        ("id", "\ufffe"),
        ("id", "\U0010ffff"),
        ("id", 7),
        ("id", None),
        ("source", ""),
        ("source", "with space"),
        ("source", "50%"),
        ("source", "shop\n"),
        ("type", ""),
        ("type", "order created"),
        ("type", "order:created\n"),
        ("type", "order:*"),
        ("version", 0),
        ("version", True),
        ("version", 2**31),
        ("version", "1"),
        ("subject", ""),
        ("subject", "\x1b[31m"),
        ("time", datetime(2026, 1, 1)),  # noqa: DTZ001 - a time without a zone is what is refused
        ("time", datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))),
        ("time", "2026-01-01T00:00:00Z"),
        ("key", ""),
        ("correlation_id", 3),
        ("content_type", "json"),
        ("content_type", None),
        ("stream_version", -1),
        ("data", b"{}"),
        ("data", msgspec.Raw(b"{")),
        ("headers", None),
    ],
)
def test_an_unsound_attribute_is_refused_by_its_name(attribute: str, value: object) -> None:
    with pytest.raises(InvalidEvent) as caught:
        made(**{attribute: value}).checked()

    assert caught.value.attribute == attribute


@pytest.mark.parametrize(
    "headers",
    [
        {"Tenant": "x"},
        {"": "x"},
        {"a_b": "x"},
        {"a\n": "x"},
        {"a" * 65: "x"},
        {1: "x"},
        {"a": 1.5},
        {"a": None},
        {"a": 2**31},
        {"a": ["x"]},
        {"a": "x" * 4097},
        {"a": "line\nbreak"},
        {f"h{number}": "x" for number in range(MAX_HEADERS + 1)},
        *({name: "x"} for name in sorted(RESERVED_HEADERS)),
    ],
    ids=lambda headers: str(headers)[:30],
)
def test_a_header_no_carrier_could_take_along_is_refused(headers: dict[Any, Any]) -> None:
    with pytest.raises(InvalidEvent):
        made(headers=headers).checked()


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        7,
        TRACE.upper(),
        TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        TRACE.replace("00f067aa0ba902b7", "0" * 16),
        "ff" + TRACE[2:],
        TRACE + "-more",
        TRACE + "\n",
        "01" + TRACE[2:] + "-\x00",
    ],
)
def test_a_malformed_traceparent_is_left_out_and_its_tracestate_with_it(traceparent: Any) -> None:
    event = made(traceparent=traceparent, headers={"tracestate": "a=b", "tenant": "x"}).checked()

    assert (event.traceparent, event.headers) == (None, {"tenant": "x"})


@pytest.mark.parametrize("traceparent", [TRACE, "01" + TRACE[2:], "cc" + TRACE[2:] + "-later"])
def test_a_traceparent_of_this_or_a_later_version_is_kept(traceparent: str) -> None:
    assert made(traceparent=traceparent, headers={"tracestate": "a=b"}).checked().headers == {"tracestate": "a=b"}


@pytest.mark.parametrize("data", [b"\x00\xff", bytearray(b"x"), memoryview(b"x")])
def test_bytes_are_welcome_under_another_content_type(data: object) -> None:
    assert made(data=data, content_type="image/png").checked().data is data


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/json", True),
        ("application/vnd.shop+json", True),
        ("application/jsonl", False),
        ("text/plain; format=json", False),
    ],
)
def test_json_is_recognised_by_its_media_type(content_type: str, expected: bool) -> None:
    assert is_json(content_type) is expected


@given(st.text())
def test_a_traceparent_may_be_any_text(text: str) -> None:
    assert is_traceparent(text) in (True, False)


ANYTHING = st.one_of(st.none(), st.text(), st.integers(), st.booleans(), st.binary(), st.floats(), st.datetimes())


@given(st.dictionaries(st.sampled_from(Event.__struct_fields__), ANYTHING))
def test_checking_raises_nothing_but_invalid_event(attributes: dict[str, object]) -> None:
    _only_invalid_event(lambda: made(**attributes).checked())


@given(st.dictionaries(st.one_of(st.text(), st.integers()), ANYTHING))
def test_checking_headers_raises_nothing_but_invalid_event(headers: dict[object, object]) -> None:
    _only_invalid_event(lambda: made(headers=headers).checked())


def _only_invalid_event(check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidEvent as error:
        str(error)
