"""A broker that is a server, looked at: whether it answers, what it lacks, and what waits there for whom."""

import asyncio
from collections.abc import Sequence

import msgspec

from tidings import App
from tidings.brokers import Broker, Difference, Standing, Wanted, connect
from tidings.errors import TidingsError
from tidings.log.open import is_log

_LOOKS = 4  # at what waits
_PAUSE = 0.75  # seconds between two of them
_ANSWER_WITHIN = 10.0


class Carrier(msgspec.Struct, frozen=True):
    """What was seen of one."""

    url: str
    trouble: str | None = None  # why it did not answer
    differences: Sequence[Difference] = ()
    looks: Sequence[Sequence[Standing]] = ()  # at its groups, one after the other
    seconds: float = _PAUSE * (_LOOKS - 1)  # from the first to the last
    ours: Sequence[str] = ()  # the application's groups there


async def examined(app: App) -> Carrier | None:
    """Look at an application's broker; None when it has none that is a server, or none that could be one."""
    if app.broker_url is None or is_log(app.broker_url):
        return None
    try:
        wanted = app.wanted()
        broker = await connect(app.broker_url, channels=app.channels)
    except TidingsError:
        return None  # told as what is wrong with the contracts, or the address
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            return await _seen(broker, wanted)
    except TimeoutError:
        return Carrier(broker.url, f"no answer within {_ANSWER_WITHIN:g} s")
    except TidingsError as trouble:
        return Carrier(broker.url, str(trouble))
    finally:
        await broker.close()


async def _seen(broker: Broker, wanted: Wanted) -> Carrier:
    differences = await broker.setup(wanted, apply=False)
    if not broker.capabilities.lag:
        return Carrier(broker.url, None, differences)
    looks = [await broker.groups()]
    for _ in range(_LOOKS - 1):
        await asyncio.sleep(_PAUSE)
        looks.append(await broker.groups())
    return Carrier(broker.url, None, differences, looks, ours=[name for name, _ in wanted.groups])
