"""CloudEvents in headers: what is written is read again, and what is not sound is refused."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tidings import Event
from tidings.brokers.binding import Binding, payload
from tidings.errors import InvalidEvent

BINDING = Binding("ce_")


def there_and_back(event: Event) -> Event:
    return BINDING.event(BINDING.headers(event).items(), payload(event), event.content_type)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"version": 3, "key": "kunde-ä", "subject": "order/1"},
        {"time": datetime(2001, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)},
        {"correlation_id": "c", "causation_id": "b"},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"headers": {"tenant": "nörd", "tries": -2, "urgent": True, "late": False, "text": "7", "word": "true"}},
        {"content_type": "image/png", "data": b"\x00\xff"},
        {"content_type": "application/vnd.shop+json", "data": msgspec.Raw(b"[1.10]")},
        {"subject": "x" * 300},
    ],
    ids=lambda attributes: ",".join(attributes) or "none",
)
def test_an_event_is_the_same_there_and_back(attributes: dict[str, Any]) -> None:
    event = Event(**{"id": "1", "source": "shop", "type": "order:created", "data": msgspec.Raw(b"{}"), **attributes})

    assert there_and_back(event) == event


def test_each_event_has_its_own_time_whichever_was_written_before() -> None:
    times = [datetime(2001, 2, 3, 4, 5, second, tzinfo=UTC) for second in (6, 7, 6)]
    events = [Event(source="shop", type="order:created", time=time) for time in (*times, times[0], times[0])]

    assert [there_and_back(event).time for event in events] == [event.time for event in events]


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "empty"),
        ({"id": None}, "missing"),
        ({"type": "order created"}, "type"),
        ({"type": "ö"}, "type"),
        ({"source": "no good"}, "source"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-01-01T00:00:00"}, "timezone"),
        ({"eventversion": "0"}, "version"),
        ({"eventversion": "99999999999"}, "version"),
        ({"eventversion": "two"}, "version"),
        ({"subject": "a\nb"}, "control"),
        ({"key": "unknown", "Tenant": "x"}, "header name"),
    ],
    ids=str,
)
def test_what_is_not_sound_is_refused(headers: dict[str, Any], told: str) -> None:
    sound = {"specversion": "1.0", "id": "1", "source": "shop", "type": "order:created"}
    given = {f"ce_{name}": value for name, value in {**sound, **headers}.items() if value is not None}

    with pytest.raises(InvalidEvent, match=told):
        BINDING.event(given.items(), b"{}")


def test_headers_without_the_prefix_are_not_the_events() -> None:
    event = Event(id="1", source="shop", type="order:created", data=msgspec.Raw(b"null"))
    headers = {**BINDING.headers(event), "other": "x"}

    assert BINDING.event(headers.items(), b"") == event
