"""What a stream promises: dense versions, an expectation that holds or refuses, and reading in either direction."""

import asyncio

from tidings.errors import VersionConflict
from tidings.log.interface import Log
from tidings.log.slices import ANY, EXISTS, NONE, Appended, Expect
from tidings.testing.log_conformance.words import new_event, new_events, raises, read_ids, read_stream, versions_of


async def test_versions_of_a_stream_are_dense(log: Log) -> None:
    first = await log.append(new_events(0, 2), stream="a")
    await log.append([new_event(2)], stream="b")
    await log.append([new_event(3)])
    last = await log.append(new_events(4, 7), stream="a")

    assert (first.stream_version, last.stream_version) == (2, 5)
    assert [record.stream_version for record in await read_stream(log, "a")] == [1, 2, 3, 4, 5]
    assert [record.stream_version for record in await read_stream(log, "b")] == [1]


async def test_an_append_is_made_when_the_stream_is_as_expected(log: Log) -> None:
    expected: list[Expect] = [NONE, EXISTS, ANY, 3, EXISTS, 5]

    for number, expect in enumerate(expected):
        await log.append([new_event(number)], stream="a", expect=expect)

    assert len(await read_stream(log, "a")) == len(expected)


async def test_an_append_is_refused_when_the_stream_is_not_as_expected(log: Log) -> None:
    await log.append(new_events(0, 2), stream="a")
    wrong: list[tuple[str, Expect, object, int]] = [
        ("a", NONE, "NONE", 2),
        ("a", 0, 0, 2),
        ("a", 1, 1, 2),
        ("a", 3, 3, 2),  # too high is as wrong as too low
        ("new", EXISTS, "EXISTS", 0),
        ("new", 1, 1, 0),
    ]

    for stream, expect, expected, actual in wrong:
        with raises(VersionConflict) as refused:
            await log.append(new_events(10, 12), stream=stream, expect=expect)

        assert (refused.error.stream, refused.error.expected, refused.error.actual) == (stream, expected, actual)
    assert await read_ids(log) == ["id-0", "id-1"]
    assert await read_stream(log, "new") == []


async def test_an_exact_version_of_zero_is_no_stream(log: Log) -> None:
    appended = await log.append([new_event(0)], stream="a", expect=0)

    assert appended.stream_version == 1


async def test_one_of_many_who_expect_the_same_version_wins(log: Log) -> None:
    for version in range(5):
        attempts = [
            log.append([new_event(number)], stream="a", expect=version)
            for number in range(10 * version, 10 * version + 8)
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)

        assert sum(isinstance(outcome, Appended) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 7
    assert [record.stream_version for record in await read_stream(log, "a")] == [1, 2, 3, 4, 5]


async def test_a_stream_is_read_forwards_backwards_and_in_part(log: Log) -> None:
    await log.append(new_events(0, 6), stream="a")
    await log.append([new_event(9)], stream="b")

    assert versions_of(await read_stream(log, "a")) == [1, 2, 3, 4, 5, 6]
    assert versions_of(await read_stream(log, "a", after=2)) == [3, 4, 5, 6]
    assert versions_of(await read_stream(log, "a", upto=2)) == [1, 2]
    assert versions_of(await read_stream(log, "a", after=2, upto=4)) == [3, 4]
    assert versions_of(await read_stream(log, "a", after=2, upto=5, backwards=True)) == [5, 4, 3]
    assert versions_of(await read_stream(log, "a", after=6)) == []
    assert await read_stream(log, "nobody") == []


async def test_a_long_stream_is_read_whole(log: Log) -> None:
    await log.append(new_events(0, 1201), stream="a")

    assert versions_of(await read_stream(log, "a")) == list(range(1, 1202))
    assert versions_of(await read_stream(log, "a", backwards=True)) == list(range(1201, 0, -1))
