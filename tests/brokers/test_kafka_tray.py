"""What lies between who fetches from Kafka and who handles: bounded, in order, and whose it is."""

import pytest
from confluent_kafka import TopicPartition

from tests.brokers.batches import batch, old_message
from tidings.brokers.kafka.progress import Progress
from tidings.brokers.kafka.records import Fetched
from tidings.brokers.kafka.tray import Tray
from tidings.errors import BrokerError

LARGE = b"x" * 1_000_000


def tray_of(*partitions: int) -> Tray:
    tray = Tray()
    tray.hold([TopicPartition("order", number, 0) for number in partitions])
    return tray


def put(tray: Tray, partition: int, data: bytes) -> Progress:
    progress = tray.held["order", partition]
    tray.put(Fetched(progress, data, ()))
    return progress


def test_what_is_settled_out_of_order_is_committed_up_to_the_lowest_that_is_open() -> None:
    tray = tray_of(0)
    put(tray, 0, batch(0, 4))
    first, second, third = tray.draw(3)

    assert not tray.settle([second, third])
    assert tray.to_commit() == []
    assert tray.settle([first])
    assert [offset for _, offset in tray.to_commit()] == [3]


def test_who_fetches_is_told_when_a_full_one_has_room_again() -> None:
    tray, told = tray_of(0), list[bool]()
    tray.stir = lambda: told.append(tray.is_full)
    put(tray, 0, batch(0, 1, value=LARGE))
    assert not tray.is_full
    put(tray, 0, batch(1, 1, value=LARGE))
    assert tray.is_full

    tray.draw(1)
    tray.draw(1)

    assert told == [False]


def test_what_comes_is_drawn_in_order_over_batches_and_answers() -> None:
    tray = tray_of(0)
    progress = put(tray, 0, batch(0, 3) + batch(3, 2))
    assert progress.fetched == 5
    put(tray, 0, batch(5, 2))

    assert [[each.offset for each in tray.draw(count)] for count in (2, 2, 100, 100)] == [[0, 1], [2, 3], [4, 5, 6], []]
    assert progress.position == 7


def test_what_was_fetched_of_a_partition_that_goes_to_another_member_is_not_handed_over() -> None:
    tray = tray_of(0, 1)
    for number in range(2):
        put(tray, number, batch(0, 1, value=LARGE))
    late = Fetched(tray.held["order", 0], batch(1, 1), ())
    taken = tray.held.take([TopicPartition("order", 0)])

    tray.give_up(taken)
    tray.put(late)

    assert not tray.is_full
    assert {each.partition for each in tray.draw(100)} == {1}


def test_a_batch_that_begins_before_what_was_asked_for_is_heard_from_there_on() -> None:
    tray = Tray()
    tray.hold([TopicPartition("order", 0, 2)])

    put(tray, 0, batch(0, 4) + batch(4, 1))

    assert [each.offset for each in tray.draw(10)] == [2, 3, 4]


def test_an_answer_that_comes_twice_is_heard_once() -> None:
    tray = tray_of(0)
    put(tray, 0, batch(0, 3))
    put(tray, 0, batch(0, 3) + batch(3, 1))

    assert [each.offset for each in tray.draw(10)] == [0, 1, 2, 3]


def test_the_end_of_an_answer_that_was_cut_off_comes_with_the_next() -> None:
    tray = tray_of(0)
    progress = put(tray, 0, (batch(0, 2) + batch(2, 2))[:-3])

    assert [each.offset for each in tray.draw(10)] == [0, 1]
    assert progress.fetched == 2


def test_transactions_that_came_to_nothing_are_left_out() -> None:
    tray = tray_of(0)
    progress = tray.held["order", 0]
    data = batch(0, 1) + batch(1, 2, producer=7) + batch(3, 1, producer=8) + batch(4, 1)

    tray.put(Fetched(progress, data, [(7, 1)]))

    assert [each.offset for each in tray.draw(10)] == [0, 3, 4]
    assert progress.fetched == 5


@pytest.mark.parametrize("at", [20, -1], ids=["checksum", "a record"])
def test_bytes_that_are_not_what_was_sent_are_told_with_their_place(at: int) -> None:
    damaged = bytearray(batch(3, 3))
    damaged[at] ^= 1
    tray = tray_of(0)
    put(tray, 0, batch(0, 3) + bytes(damaged) + batch(6, 1))
    put(tray, 0, batch(7, 1))

    assert [each.offset for each in tray.draw(100)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(BrokerError, match=r"order/0/3 on cannot be read: .*checksum"):
            tray.draw(100)


def test_messages_that_look_alike_share_the_names_of_their_headers() -> None:
    tray = tray_of(0)
    put(tray, 0, batch(0, 2) + batch(2, 1, headers=[("b", b"1")]) + batch(3, 1))

    first, second, third, fourth = tray.draw(4)

    assert first.names is second.names
    assert (third.names, fourth.names) == (("b",), ("a",))


def test_a_message_keeps_all_that_its_dead_letter_needs() -> None:
    tray = Tray()
    tray.hold([TopicPartition("order", 0, 7)])
    put(tray, 0, batch(7, 1, key=b"k", value=None, headers=[("a", b"1"), ("b", None)]))

    [drawn] = tray.draw(1)

    assert (drawn.place, drawn.key, drawn.value) == ("order/0/7", b"k", b"")
    assert drawn.headers == [("a", b"1"), ("b", b"")]


def test_a_damaged_batch_does_not_say_where_the_next_fetch_begins() -> None:
    damaged = bytearray(batch(2, 2))
    damaged[23] ^= 0x7F  # it says that there are very many records
    tray = tray_of(0)

    progress = put(tray, 0, batch(0, 2) + bytes(damaged))

    assert progress.fetched == 0
    assert [each.offset for each in tray.draw(100)] == [0, 1]
    with pytest.raises(BrokerError, match="checksum"):
        tray.draw(100)


def test_what_cannot_be_unpacked_is_told_and_nothing_behind_it_is_handed_over() -> None:
    tray = tray_of(0)
    put(tray, 0, batch(0, 2) + batch(2, 2, lies=True) + batch(4, 2))
    put(tray, 0, batch(6, 2))

    assert [each.offset for each in tray.draw(100)] == [0, 1]
    with pytest.raises(BrokerError, match="order/0/2 on cannot be read"):
        tray.draw(100)
    assert tray.settle(None)
    assert [offset for _, offset in tray.to_commit()] == [2]


def test_batches_of_the_old_format_may_lie_among_the_others() -> None:
    tray = tray_of(0)
    put(tray, 0, old_message(0) + batch(1, 2) + old_message(3) + batch(4, 1))

    assert [each.offset for each in tray.draw(100)] == [0, 1, 2, 3, 4]


def test_of_a_partition_that_begins_anew_what_was_known_says_nothing() -> None:
    tray = tray_of(0)
    progress = put(tray, 0, batch(0, 10))
    tray.draw(5)
    tray.settle(None)
    progress.committed = 5

    tray.begin_again(progress, 0)
    put(tray, 0, batch(0, 2))
    drawn = tray.draw(100)

    assert [each.offset for each in drawn] == [0, 1]
    assert tray.settle(drawn)
    assert [offset for _, offset in tray.to_commit()] == [2]


def test_what_was_read_before_others_were_forgotten_is_handed_over() -> None:
    tray = tray_of(0)
    progress = put(tray, 0, batch(0, 2))

    tray.begin_again(progress, 40)
    put(tray, 0, batch(40, 1))

    assert [each.offset for each in tray.draw(100)] == [0, 1, 40]
