"""A group that is slower than another of its process finds what came meanwhile, without waiting for more to come."""

import asyncio

from tidings import App


async def test_a_slower_group_is_not_left_waiting_at_the_end_of_a_slice_that_another_one_fetched(url: str) -> None:
    app = App("bank", url)
    go, heard_fast, heard_slow = asyncio.Event(), asyncio.Queue[int](), asyncio.Queue[int]()

    @app.on("coin:paid")
    async def fast(number: int) -> None:
        heard_fast.put_nowait(number)

    @app.on("coin:paid")
    async def slow(number: int) -> None:
        if number == 1:
            await go.wait()
        heard_slow.put_nowait(number)

    async with app.running(), asyncio.timeout(3.0):  # the slow look, for a bell nobody heard, is every five seconds
        for number in (1, 2, 3, 4):  # a slice each
            await app.publish("coin:paid", number)
            assert await heard_fast.get() == number
        go.set()
        assert [await heard_slow.get() for _ in range(4)] == [1, 2, 3, 4]
