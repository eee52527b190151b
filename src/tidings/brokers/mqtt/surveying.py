"""Which groups a server knows. MQTT tells of a session only to who opens it, which would take it from its member.

So members are asked first: a group that has one is known. Only where nobody answers a session is opened, and ended
again if it had not been there.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidings.brokers.channels import PARTITIONS
from tidings.brokers.mqtt.dialing import Life
from tidings.brokers.mqtt.link import Link
from tidings.brokers.mqtt.names import member_topic_of, session_of
from tidings.brokers.mqtt.settings import Settings
from tidings.brokers.mqtt.wire import Outgoing
from tidings.errors import BrokerUnreachable
from tidings.events import new_id

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage


async def missing_groups(settings: Settings, groups: Sequence[str]) -> set[str]:
    """Those that have no member and no session.

    Raises:
        BrokerError: the server did not answer.
    """
    return {
        group for group in groups if not (await _has_member(settings, group) or await _has_session(settings, group))
    }


async def _has_member(settings: Settings, group: str) -> bool:
    """What members have said is retained, so it is there before what is said now."""
    name, members, heard = new_id(), set[str](), asyncio.Event()

    def hear(message: "MQTTMessage") -> None:
        link.acknowledge([message.mid])
        if message.topic.endswith(f"/{name}"):
            heard.set()
        elif message.payload:
            members.add(message.topic)

    link = Link(settings, Life(name), hear, lambda failure: heard.set())
    await link.open()
    try:
        await link.subscribe([member_topic_of(settings.prefix, group, "+")], retained=0)
        await link.send([Outgoing(member_topic_of(settings.prefix, group, name), b"")])
        async with asyncio.timeout(settings.timeout):
            await heard.wait()
        if link.failure is not None:
            raise link.failure
    except TimeoutError:
        raise BrokerUnreachable(settings.url, f"no answer within {settings.timeout:g} s") from None
    finally:
        await link.leave()
    return bool(members)


async def _has_session(settings: Settings, group: str) -> bool:
    name = session_of(settings.prefix, group, PARTITIONS - 1)
    link = Link(settings, Life(name, expiry=settings.expiry, prefetch=1), _pass, lambda failure: None)
    is_known = await link.open()
    await link.leave(forgets=not is_known)
    return is_known


def _pass(message: "MQTTMessage") -> None:
    """It is not acknowledged, and so comes again to who has the session next."""
