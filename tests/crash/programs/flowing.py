"""A member of groups whose events are held back, each in its way: `flowing URL SEED [finish]`.

- `mill.last`    of each sack the last grain, after quiet, a row in `last`
- `mill.many`    grains in batches, some of which fail; a `grain:milled` each
- `mill.ranked`  sacks by priority; a `grain:ranked` each
- `mill.careful` one that fails in stretches, with a rate and a breaker; a `grain:cared` each

Says `ready`, and `handled` for each call; with `finish` it ends, having said `finished`, when nothing is left to do.
"""

import asyncio
import random
import sys
from typing import Any

from tests.crash.programs.finish import until_idle
from tests.crash.programs.talk import say
from tidings import App, Batch, Breaker, Debounce, Rate, Retry, event

SOON = Retry(attempts=1000, inline=1, wait=0.01, longest=0.02)


@event("grain:fallen", key="sack")
class GrainFallen:
    sack: str
    number: int


@event("grain:milled")
class GrainMilled:
    sack: str
    number: int


@event("grain:ranked")
class GrainRanked:
    sack: str
    number: int


@event("grain:cared")
class GrainCared:
    sack: str
    number: int


def mill(url: str, chance: random.Random, *, failing: float) -> App:
    """The application; so often a call fails."""
    app = App("mill", url, contracts=[GrainFallen, GrainMilled, GrainRanked, GrainCared], drain=5.0)

    @app.on(GrainFallen, debounce=Debounce(0.03, longest=0.2), retry=SOON)
    def last(grain: GrainFallen, tx: Any) -> None:
        say("handled")
        tx.execute("INSERT INTO last VALUES (?, ?)", (grain.sack, grain.number))
        if chance.random() < failing:
            raise RuntimeError("the sack is torn")

    @app.on(batch=Batch(size=20, wait=0.05), retry=SOON)
    async def many(grains: list[GrainFallen]) -> list[GrainMilled]:
        say("handled")
        await asyncio.sleep(0)
        if chance.random() < failing:
            raise RuntimeError("the mill is jammed")
        return [GrainMilled(grain.sack, grain.number) for grain in grains]

    @app.on(GrainFallen, priority=lambda grain: int(grain.sack), retry=SOON)
    async def ranked(grain: GrainFallen) -> GrainRanked:
        say("handled")
        await asyncio.sleep(0)
        if chance.random() < failing:
            raise RuntimeError("the miller sleeps")
        return GrainRanked(grain.sack, grain.number)

    @app.on(GrainFallen, rate=Rate(2000, burst=50), breaker=Breaker(2, within=1.0, open_for=0.02), retry=SOON)
    def careful(grain: GrainFallen) -> GrainCared:
        say("handled")
        if chance.random() < failing:
            raise RuntimeError("there is no wind")
        return GrainCared(grain.sack, grain.number)

    return app


async def work(url: str, chance: random.Random, *, finishing: bool) -> None:
    app = mill(url, chance, failing=0.0 if finishing else 0.05)
    async with app:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS last(sack TEXT, number INTEGER)")
        say("ready")
        if not finishing:
            await app.run()
            return
        async with app.running():
            await until_idle(app)
    say("finished")


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], random.Random(sys.argv[2]), finishing="finish" in sys.argv))
