"""What `tidings dead skip` and `drop` ask of a ledger, on each log."""

from pathlib import Path

import pytest

from tidings import Event
from tidings.log import Parked, Settlement, open_log
from tidings.log.interface import Group


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/log.db"])
@pytest.mark.parametrize(("followers", "left"), [(False, [2, 3, 4, 5]), (True, [3, 4, 5])])
async def test_followers_are_those_behind_the_chosen_letter(
    url: str, followers: bool, left: list[int], tmp_path: Path
) -> None:
    log = await open_log(url.format(tmp_path))
    states = [("a", "dead"), ("a", "blocked"), ("b", "dead"), ("b", "blocked"), ("c", "retry")]
    await log.append([Event(source="test", type="a:b", key=key) for key, _ in states])
    await log.ledger.join(Group("g"))
    lease = await log.ledger.claim("g", await log.ledger.enter())
    parked = [
        Parked(order, 0, key, f"id-{order}", "a:b", state)  # type: ignore[arg-type]  # the states above are literals
        for order, (key, state) in enumerate(states, 1)
    ]
    await log.ledger.settle(Settlement(lease, parked=parked))

    dropped = await log.ledger.discard("g", [1], followers=followers)

    assert dropped == 5 - len(left)
    assert [one.order for one in await log.ledger.parked("g")] == left
    assert await log.ledger.discard("g", followers=True) == len(left) - 1 - (not followers)
    await log.close()
