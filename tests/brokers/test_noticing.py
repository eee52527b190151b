"""Messages read at a glance: they say what they say when read with care, and what is not plain is left to that."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from tidings import Event
from tidings.brokers import Arrival
from tidings.brokers.binding import CONTENT_TYPE, Binding
from tidings.brokers.interface import Notice
from tidings.brokers.noticing import Noticing
from tidings.log.record import drafted

BINDING = Binding("ce_")
DATA = b'{"order_id":1}'
PLAIN = Event(
    id="1", source="shop", type="order:created", key="k", time=datetime(2026, 1, 2, tzinfo=UTC), data=msgspec.Raw(DATA)
)
Headers = dict[str, Any]
ATTRIBUTES: tuple[Headers, ...] = (
    {},
    {"version": 3},
    {"key": None, "time": None},
    {"time": datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=2)))},
    {"subject": "order/1", "correlation_id": "c", "causation_id": "b"},
    {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    {"headers": {"tenant": "north"}},
)


def headers_of(event: Event) -> Headers:
    return BINDING.headers(event) | {CONTENT_TYPE: event.content_type}


def values_of(headers: Headers, kind: type = bytes) -> list[Any]:
    return [value.encode() if kind is bytes and isinstance(value, str) else value for value in headers.values()]


def noticed(noticing: Noticing, headers: Headers, kind: type = bytes) -> Notice | None:
    return noticing.notice(tuple(headers), values_of(headers, kind), DATA)


def learned(*events: Event, kind: type = bytes) -> Noticing:
    """Has read these with care."""
    noticing = Noticing(BINDING)
    for event in events:
        headers = headers_of(event)
        values = [value.encode() if kind is bytes else value for value in headers.values()]
        noticing.learn(tuple(headers), values, event)
    return noticing


@pytest.mark.parametrize("kind", [bytes, str])
@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=str)
def test_the_next_of_a_kind_says_at_a_glance_what_it_says_with_care(kind: type, attributes: Headers) -> None:
    first = msgspec.structs.replace(PLAIN, **attributes)
    second = msgspec.structs.replace(first, id="2", key=first.key and "other", data=msgspec.Raw(DATA))
    noticing = learned(first, kind=kind)

    notice = noticed(noticing, headers_of(second), kind)

    assert notice is not None
    assert (notice.id, notice.source, notice.type, notice.version) == ("2", "shop", "order:created", first.version)
    assert (notice.key, notice.data) == (second.key, DATA)
    assert Arrival(notice).event == second


@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=str)
def test_what_a_log_writes_down_of_a_glance_is_the_event(attributes: Headers) -> None:
    first = msgspec.structs.replace(PLAIN, **attributes)
    second = msgspec.structs.replace(first, id="2", key=first.key and "other", data=msgspec.Raw(DATA))
    notice = noticed(learned(first), headers_of(second))
    assert notice is not None

    glanced, careful = Arrival(notice).draft, Arrival(second).draft

    assert drafted(glanced) == drafted(careful) == second
    assert (glanced.slot, glanced.key, glanced.public) == (careful.slot, careful.key, False)


@pytest.mark.parametrize("kind", [bytes, str])
@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=str)
def test_many_say_together_what_each_says_alone(kind: type, attributes: Headers) -> None:
    first = msgspec.structs.replace(PLAIN, **attributes)
    paid = msgspec.structs.replace(first, type="order:paid", source="till")
    events = [
        msgspec.structs.replace(each, id=f"{number}", key=each.key and f"k{number}")
        for number, each in enumerate([first, paid, paid, first] * 10)
    ]
    noticing, headers = learned(first, paid, kind=kind), [headers_of(event) for event in events]

    notices = noticing.notices(tuple(headers[0]), [values_of(each, kind) for each in headers], [DATA] * 40)

    assert [notice and Arrival(notice).event for notice in notices] == events
    assert notices == [noticed(noticing, each, kind) for each in headers]


@pytest.mark.parametrize("id", ["", "a b", " ", "a ", "x" * 256, "kunde-ä", "a\nb", None, b"\xff"], ids=repr)
@pytest.mark.parametrize("place", [0, 17, 99])
def test_one_that_is_not_sound_costs_few_others_their_glance_and_is_taken_for_none_of_them(id: Any, place: int) -> None:
    headers = [headers_of(PLAIN) | {"ce_id": str(number)} for number in range(100)]
    headers[place] |= {"ce_id": id}

    notices = learned(PLAIN).notices(tuple(headers[0]), [values_of(each) for each in headers], [DATA] * 100)

    assert notices[place] is None
    assert sum(notice is None for notice in notices) <= 16
    assert all(notice is None or notice.id == str(number) for number, notice in enumerate(notices))


def test_of_a_shape_that_nobody_knows_all_are_read_with_care() -> None:
    headers = headers_of(PLAIN)

    assert Noticing(BINDING).notices(tuple(headers), [values_of(headers)] * 3, [DATA] * 3) == [None] * 3


def test_no_event_is_made_of_most_for_a_log() -> None:
    notice = noticed(learned(PLAIN), headers_of(PLAIN))
    assert notice is not None
    arrival = Arrival(notice)

    _ = arrival.draft

    assert arrival.notice is notice


def test_a_whole_event_is_made_once() -> None:
    notice = noticed(learned(PLAIN), headers_of(PLAIN))
    assert notice is not None
    arrival = Arrival(notice)

    assert arrival.event is arrival.event


@pytest.mark.parametrize(
    "changed",
    [
        {"ce_type": "order:paid"},
        {"ce_source": "other"},
        {"ce_specversion": "0.3"},
        {"ce_id": ""},
        {"ce_id": "x" * 256},
        {"ce_id": "a\nb"},
        {"ce_id": "a b"},
        {"ce_partitionkey": "kunde-ä"},
        {"ce_time": "yesterday"},
        {"ce_time": "2026-01-01T00:00:00"},
        {"ce_subject": "of another shape"},
        {"ce_id": None},
        {"ce_id": b"\xff"},
        {CONTENT_TYPE: "text/plain"},
    ],
    ids=str,
)
def test_what_is_not_known_to_be_sound_is_left_to_be_read_with_care(changed: Headers) -> None:
    assert noticed(learned(PLAIN), headers_of(PLAIN) | changed) is None


@pytest.mark.parametrize(
    "first",
    [
        msgspec.structs.replace(PLAIN, headers={"tries": 2}),
        msgspec.structs.replace(PLAIN, content_type="image/png", data=b"x"),
    ],
    ids=["typed headers", "no JSON"],
)
def test_what_is_not_plain_is_always_read_with_care(first: Event) -> None:
    assert noticed(learned(first), headers_of(first)) is None


def test_messages_of_several_shapes_and_kinds_may_come_in_turn() -> None:
    about = msgspec.structs.replace(PLAIN, subject="order/1")
    paid = msgspec.structs.replace(PLAIN, type="order:paid")
    noticing = learned(PLAIN, about)
    assert noticed(noticing, headers_of(paid)) is None
    noticing.learn(tuple(headers_of(paid)), [value.encode() for value in headers_of(paid).values()], paid)

    for event in (PLAIN, about, paid, paid, about, PLAIN):
        notice = noticed(noticing, headers_of(event))
        assert notice is not None
        assert Arrival(notice).event == event


def test_a_header_that_is_said_twice_is_read_with_care() -> None:
    noticing, headers = Noticing(BINDING), headers_of(PLAIN)
    names, values = (*headers, "ce_id"), [*(value.encode() for value in headers.values()), b"2"]
    noticing.learn(names, values, PLAIN)

    assert noticing.notice(names, values, DATA) is None


def test_a_header_of_somebody_else_may_be_anything() -> None:
    headers = headers_of(PLAIN) | {"other": b"\xff", "nothing": None}
    noticing, values = learned(), [value.encode() if isinstance(value, str) else value for value in headers.values()]
    noticing.learn(tuple(headers), values, PLAIN)

    notice = noticing.notice(tuple(headers), values, DATA)

    assert notice is not None
    assert Arrival(notice).event == PLAIN


def test_foreign_messages_cannot_fill_the_memory() -> None:
    noticing = Noticing(BINDING)
    for number in range(2000):
        headers = headers_of(PLAIN) | {f"ce_x{number}": "1"}
        noticing.learn(tuple(headers), [value.encode() for value in headers.values()], PLAIN)
        headers = headers_of(PLAIN) | {"ce_source": str(number)}
        noticing.learn(tuple(headers), [value.encode() for value in headers.values()], PLAIN)

    assert len(noticing._shapes) < 500
    assert all(len(shape.kinds) < 500 for shape in noticing._shapes.values())
