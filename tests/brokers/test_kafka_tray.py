"""What lies between the thread that reads from Kafka and the event loop: bounded, in order, and whose it is."""

from confluent_kafka import Message, TopicPartition

from tidings.brokers.kafka.tray import Tray


def message(partition: int, offset: int, size: int = 1) -> Message:
    return Message(topic="order", partition=partition, offset=offset, value=b"x" * size, headers=[("a", b"1")])


def tray_of(*partitions: int) -> Tray:
    tray = Tray()
    tray.hold([TopicPartition("order", number, 0) for number in partitions])
    return tray


def test_what_is_settled_out_of_order_is_committed_up_to_the_lowest_that_is_open() -> None:
    tray = tray_of(0)
    tray.put([message(0, offset) for offset in range(4)])
    first, second, third = tray.draw(3)

    assert not tray.settle([second, third])
    assert tray.to_commit() == []
    assert tray.settle([first])
    assert [offset for _, offset in tray.to_commit()] == [3]


def test_it_is_full_of_many_messages_and_of_a_few_large_ones() -> None:
    many, large = tray_of(0), tray_of(0)
    many.put([message(0, offset) for offset in range(many.room)])
    large.put([message(0, offset, 1_000_000) for offset in range(16)])

    assert many.is_full
    assert large.is_full

    many.draw(2500)
    large.draw(9)

    for tray in (many, large):
        assert not tray.is_full
        assert not tray.is_half_full
        assert tray.space.is_set()


def test_what_was_read_of_a_partition_that_goes_to_another_member_is_not_handed_over() -> None:
    tray = tray_of(0, 1)
    tray.put([message(number % 2, number, 1_000_000) for number in range(16)])
    taken = tray.held.take([TopicPartition("order", 0)])

    tray.give_up(taken)
    tray.put([message(0, 16)])

    assert not tray.is_full
    assert {each.partition for each in tray.draw(100)} == {1}


def test_messages_that_look_alike_share_the_names_of_their_headers() -> None:
    tray = tray_of(0)
    other = Message(topic="order", partition=0, offset=2, value=b"x", headers=[("b", b"1")])

    tray.put([message(0, 0), message(0, 1), other, message(0, 3)])
    first, second, third, fourth = tray.draw(4)

    assert first.names is second.names
    assert (third.names, fourth.names) == (("b",), ("a",))


def test_a_message_keeps_all_that_its_dead_letter_needs() -> None:
    tray = tray_of(0)
    tray.put([Message(topic="order", partition=0, offset=7, key=b"k", value=None, headers=[("a", b"1"), ("b", None)])])

    [drawn] = tray.draw(1)

    assert (drawn.place, drawn.key, drawn.value) == ("order/0/7", b"k", b"")
    assert drawn.headers == [("a", b"1"), ("b", b"")]
