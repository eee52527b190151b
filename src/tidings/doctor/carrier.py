"""A broker that is a server, looked at: whether it answers, what it lacks, and what waits there for whom."""

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from tidings import App
from tidings.brokers import Broker, Difference, Standing, Wanted, connect
from tidings.brokers.log import LogBroker
from tidings.errors import BrokerUnreachable, ConfigurationError, TidingsError
from tidings.handling.direct import check_direct
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
    silence: str | None = None  # why it does not tell what it lacks
    refusals: Sequence[str] = ()  # why handlers that hear it directly do not start
    replays: bool = True  # can a new group begin with what was published before it?
    forgets: bool = False  # does it let go of a group when told to?


async def examined(app: App | None, url: str | None) -> Carrier | None:
    """Look at the broker at `url`, an application's if there is one; None when there is none, or none that could be.

    Of a broker alone all groups are looked at, as nobody says which are whose.
    """
    if url is None or url.startswith("memory:"):
        return None
    try:
        wanted = app.wanted() if app is not None else Wanted(())
        broker = await _connected(url, app)
    except TidingsError:
        return None  # told as what is wrong with the contracts, or the address
    refusals = list(_refusals(app, broker)) if app is not None else []
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            seen = await _seen(broker, wanted, knows_ours=app is not None)
    except TimeoutError:
        seen = Carrier(broker.url, f"no answer within {_ANSWER_WITHIN:g} s")
    except BrokerUnreachable as trouble:
        seen = Carrier(broker.url, f"{trouble.url} cannot be reached: {trouble.reason}")
    except TidingsError as trouble:
        seen = Carrier(broker.url, str(trouble))
    finally:
        await broker.close()
    return msgspec.structs.replace(seen, refusals=refusals)


async def _connected(url: str, app: App | None) -> Broker:
    if is_log(url):
        return LogBroker(url, is_for_reading=True)
    return await connect(url, channels=app.channels if app is not None else None)


async def _seen(broker: Broker, wanted: Wanted, *, knows_ours: bool) -> Carrier:
    seen = Carrier(broker.url, replays=broker.capabilities.replay)
    try:
        seen = msgspec.structs.replace(seen, differences=await broker.setup(wanted, apply=False))
    except ConfigurationError as silent:
        seen = msgspec.structs.replace(seen, silence=str(silent))
    if not broker.capabilities.lag:
        return seen
    looks = [await broker.groups()]
    for _ in range(_LOOKS - 1):
        await asyncio.sleep(_PAUSE)
        looks.append(await broker.groups())
    ours = [name for name, _ in wanted.groups] if knows_ours else [each.group for each in looks[-1]]
    return msgspec.structs.replace(seen, looks=looks, ours=ours, forgets=broker.capabilities.forgets)


def _refusals(app: App, broker: Broker) -> Iterator[str]:
    for each in app.subscriptions:
        if each.direct or app.log_url is None:
            try:
                check_direct(each, broker)
            except ConfigurationError as refusal:
                yield str(refusal)
