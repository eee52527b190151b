"""Where events travel: on the channel their name begins with, unless something else is said."""

import pytest

from tidings import Event
from tidings.brokers import Channels
from tidings.brokers.channels import partition_of
from tidings.brokers.foreign import UNREADABLE, Foreign, Message, json_decoder
from tidings.brokers.rota import turns
from tidings.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "channel"), [("order:created", "order"), ("order/paid", "order"), ("stock", "stock"), ("a.b:c", "a")]
)
def test_a_name_travels_on_its_first_segment(name: str, channel: str) -> None:
    assert Channels().of(name) == channel


def test_what_is_said_first_counts() -> None:
    channels = Channels({"order:paid": "money", "order:*": "orders"})

    assert [channels.of(name) for name in ("order:paid", "order:created", "stock:low")] == ["money", "orders", "stock"]


@pytest.mark.parametrize(
    ("patterns", "heard"),
    [
        (["order:created"], {"order"}),
        (["order:*", "stock:low"], {"order", "stock"}),
        (["payment:done"], {"money"}),
        (["payment:*"], {"payment", "money"}),
        (["*:created"], None),
        (["**"], None),
    ],
)
def test_the_channels_of_patterns_are_known_where_they_can_be(patterns: list[str], heard: set[str] | None) -> None:
    channels = Channels({"payment:done": "money"})

    found = channels.heard(patterns)

    assert found is None if heard is None else found is not None and heard <= found <= heard | {"money"}


def test_a_channel_is_a_plain_name() -> None:
    for wrong in ("", "a*", "a b"):
        with pytest.raises(ConfigurationError, match=r"channels= has .* which is no channel"):
            Channels({"order:*": wrong})


def test_a_key_stays_in_its_partition() -> None:
    assert {partition_of("kunde-ä", 8) for _ in range(3)} == {partition_of("kunde-ä", 8)}
    assert {partition_of(str(number), 8) for number in range(200)} == set(range(8))


def test_partitions_are_shared_out_evenly_and_stay_where_they_are() -> None:
    owners: dict[int, str | None] = dict.fromkeys(range(8))
    owners.update(dict.fromkeys(turns(owners, ["a"], "a"), "a"))
    assert set(owners.values()) == {"a"}

    kept = turns(owners, ["a", "b"], "a")
    assert len(kept) == 4
    assert turns(owners, ["a", "b"], "b") == set()
    owners = {number: "a" if number in kept else None for number in owners}
    assert turns(owners, ["a", "b"], "b") == set(owners) - kept
    assert turns(owners, ["b"], "b") == set(owners), "whoever is not alive owns nothing"


class TestForeign:
    foreign = Foreign("redis://host", {"iot": json_decoder("sensor:read", source="iot", key="device")})

    def message(self, channel: str, data: bytes) -> Message:
        return Message(channel, data, "stream/7-1")

    def test_a_structured_event_needs_no_decoder(self) -> None:
        data = b'{"specversion":"1.0","id":"1","source":"s","type":"a:b","data":{"x":1.10}}'

        arrival = self.foreign.arrival(self.message("other", data), 7)

        assert (arrival.failure, arrival.ticket, bytes(arrival.event.data)) == (None, 7, b'{"x":1.10}')

    def test_plain_json_is_decoded_as_declared(self) -> None:
        first, again = (self.foreign.arrival(self.message("iot", b'{"device": 5, "t": 1.0}'), 1) for _ in range(2))

        assert first.failure is None
        assert (first.event.type, first.event.source, first.event.key) == ("sensor:read", "iot", "5")
        assert first.event == again.event, "the same message is the same event"

    def test_what_nobody_can_read_is_kept_as_it_came(self) -> None:
        for channel, data in (("iot", b"{oops"), ("other", b"\x00\xff")):
            arrival = self.foreign.arrival(self.message(channel, data), 1)

            assert arrival.failure is not None
            assert (arrival.event.type, arrival.event.data, arrival.event.subject) == (UNREADABLE, data, channel)
            assert arrival.event.checked() == arrival.event

    def test_a_decoder_that_fails_does_not_stop_anything(self) -> None:
        def wrong(message: Message) -> Event:
            raise RuntimeError(f"no {message.channel}\nat all")

        arrival = Foreign("x://", {"a": wrong}).arrival(self.message("a", b"1"), 1)

        assert isinstance(arrival.failure, RuntimeError)
        assert arrival.event.headers["reason"] == "RuntimeError: no a at all"
