"""What is kept of a message that nobody could read, so that it can be read again."""

import pytest

from tidings.brokers.foreign import Foreign, Message, message_in

PLACE = "sensors/0/17"


@pytest.mark.parametrize(
    "message",
    [
        Message("sensors", b"\xff\x00", PLACE),
        Message("sensors", b"", PLACE, {"unit": "°C", "note": "a\r\nb\x00"}, "dev 7", "text/x-sensor; v=1"),
        Message("sensors", b"\xff", PLACE, {f"h{number}": "ü" * 500 for number in range(15)}, None, "text/plain"),
        Message("sensors", b"\xff", PLACE, {}, "k" * 300),
    ],
    ids=["bare", "strange", "many headers", "long key"],
)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    kept = Foreign("redis://host", {}).arrival(message, None).event.checked()

    assert message_in(kept) == message


def test_of_more_headers_than_can_be_kept_the_first_are() -> None:
    headers = {f"h{number:03}": "x" * 1000 for number in range(100)}
    kept = Foreign("redis://host", {}).arrival(Message("sensors", b"\xff", PLACE, headers), None).event.checked()

    found = message_in(kept).headers
    assert 50 < len(found) < 64
    assert list(found) == list(headers)[: len(found)]
