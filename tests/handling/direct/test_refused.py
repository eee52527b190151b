"""What needs a log, or what the carrier cannot do, is refused where it is asked for."""

from typing import Any

import pytest

from tests.handling.direct.stage import CannotDelay, app_on
from tests.handling.stage import OrderCreated
from tidings import App, Retry
from tidings.brokers import Broker
from tidings.errors import ConfigurationError


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rate": "5/s"}, "rate needs a log"),
        ({"singleton": True}, "singleton needs a log"),
        ({"on_dead": "block"}, "on_dead='block' needs a log"),
        ({"blocked_limit": 10}, "blocked_limit needs a log"),
        ({"debounce": 1.0}, "debounce needs a log"),
        ({"start": "0001-x"}, "start='0001-x' needs a log"),
        ({"retry": Retry(attempts=9)}, "hands no event over later"),
        ({}, "keeps no dead letters"),
    ],
    ids=str,
)
async def test_what_cannot_be_kept_is_refused_at_start(broker: Broker, settings: Any, told: str) -> None:
    app = app_on(CannotDelay(broker, delay=False, dead_letters=bool(settings)))

    @app.on(OrderCreated, **settings)
    async def note(order: OrderCreated) -> None: ...

    with pytest.raises(ConfigurationError, match=told):
        async with app.running():
            pass


ASKS = ["tx", "later", "every", "transaction", "listen", "cancel", "delay", "relay_rate"]


@pytest.mark.parametrize("asks", ASKS)
async def test_what_needs_a_log_says_so(broker: Broker, url: str, asks: str) -> None:
    app = App("shop", broker=url, relay_rate="5/s" if asks == "relay_rate" else None)
    if asks == "tx":

        @app.on(OrderCreated)
        def write(order: OrderCreated, tx: Any) -> None: ...

    if asks == "every":

        @app.every("5m")
        async def tick() -> None: ...

    async def use() -> None:
        async with app.running():
            match asks:
                case "transaction":
                    async with app.transaction():
                        pass
                case "listen":
                    app.listen("**")
                case "cancel":
                    await app.cancel("1")
                case "delay" | "later":
                    await app.publish(OrderCreated(1), delay=5)

    with pytest.raises(ConfigurationError, match="log="):
        await use()
