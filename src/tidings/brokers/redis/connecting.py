"""How a connection is made: found, encrypted where that is asked for, and let in."""

import asyncio

from tidings.brokers.reaching import encryption, why
from tidings.brokers.redis.link import Link, library, packed
from tidings.brokers.redis.settings import Settings
from tidings.errors import BrokerUnreachable


async def connected(settings: Settings) -> Link:
    """A new connection, with its user and database.

    Raises:
        BrokerUnreachable: nobody answers, or the server lets us not in.
        ConfigurationError: a file that the URL names cannot be read.
    """
    address, hiredis = settings.address, library()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(settings.timeout):
            context = await asyncio.to_thread(encryption, address) if settings.is_encrypted else None
            _, link = await loop.create_connection(
                lambda: Link(settings.shown, settings.timeout, hiredis), address.host, address.port, ssl=context
            )
    except TimeoutError:
        raise BrokerUnreachable(settings.shown, f"nobody answered within {settings.timeout:g} s") from None
    except OSError as error:  # ssl's are of these
        raise BrokerUnreachable(settings.shown, why(error, address)) from error
    try:
        await _greet(link, settings)
    except BaseException:
        await link.close()
        raise
    return link


async def _greet(link: Link, settings: Settings) -> None:
    address = settings.address
    words: list[tuple[str | bytes | int, ...]] = []
    if address.password:
        words.append(("AUTH", address.user, address.password) if address.user else ("AUTH", address.password))
    if settings.database:
        words.append(("SELECT", settings.database))
    words.append(("PING",))
    words.append(("CONFIG", "GET", "proto-max-bulk-len"))  # may be forbidden
    answers = await link.wait(link.ask(b"".join(packed(*each) for each in words), len(words)))
    for answer in answers[:-1]:
        if isinstance(answer, Exception):
            raise BrokerUnreachable(settings.shown, f"it answers {answer}")
    if isinstance(answers[-1], list) and len(answers[-1]) == 2:
        link.largest = int(answers[-1][1])
