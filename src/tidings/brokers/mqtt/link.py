"""`Link`: one connection to an MQTT server, with paho's client on the event loop instead of a thread of its own.

paho is the protocol, and its calls do not wait; connecting does, so that is done in a thread. What was not acknowledged
when a link is lost is not sent again by it: a link has one life, and who used it opens another.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import TYPE_CHECKING, Any, Final

from tidings.brokers.mqtt import library
from tidings.brokers.mqtt.dialing import Life, dial, new_client, properties_of
from tidings.brokers.mqtt.outlet import LARGEST, WINDOW, Outlet
from tidings.brokers.mqtt.settings import Settings
from tidings.brokers.mqtt.wire import Outgoing
from tidings.brokers.reaching import why
from tidings.errors import BrokerError, BrokerUnreachable

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

_AT_ONCE: Final = {"SessionExpiryInterval": 0}
_GRANTED: Final = 2  # the highest answer to a subscription that is not a refusal
_NO_FILTER: Final = "nothing"  # a topic that no session has a filter for
_TAKEN_OVER: Final = 0x8E  # the reason with which a server ends a connection whose session another one has now
_STRETCH: Final = 200  # messages read before others have their turn


class Link:
    """Calls `heard` for each message, and `lost` once, when it has ended and nobody here ended it."""

    def __init__(
        self,
        settings: Settings,
        life: Life,
        heard: "Callable[[MQTTMessage], None]",
        lost: Callable[[BrokerUnreachable], None],
    ) -> None:
        self._settings = settings
        self._life = life
        self._heard = heard
        self._lost = lost
        self._paho: Any = library.client()
        self._client = new_client(self._paho, settings, life)
        self._outlet = Outlet(settings.url, self._client, self._paho)
        self._listen()
        self._loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[bool] = self._loop.create_future()
        self._answering: dict[int, asyncio.Future[None]] = {}
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tells = True
        self._received = 0  # messages
        self._is_called = False  # by paho, which holds a lock meanwhile
        self.failure: BrokerUnreachable | None = None
        self.is_taken_over = False  # did it end as another connection has the session now?

    async def open(self) -> bool:
        """Connect; did the session exist? Whoever is cancelled here leaves no connection behind.

        Raises:
            BrokerUnreachable: nobody answered in time, or the server let nobody in.
            ConfigurationError: a file that the URL names cannot be read.
        """
        # No task, which the end of the loop would cancel while its thread goes on to connect.
        dialing = self._loop.run_in_executor(None, dial, self._paho, self._client, self._settings, self._life)
        is_handed_over = False  # to whoever called, who may be cancelled when it is there already
        try:
            async with asyncio.timeout(self._settings.timeout):
                await asyncio.shield(dialing)
                self._attach()
                existed = await self._greeted
            is_handed_over = True
            return existed
        except TimeoutError:
            raise self._silent() from None
        except (OSError, ValueError) as error:
            raise self._unreachable(why(error, self._settings.address)) from None
        finally:
            if not is_handed_over:
                dialing.add_done_callback(self._hang_up)

    async def subscribe(self, filters: Sequence[str], *, retained: int, number: int = 0) -> None:
        """Hear these; `retained` is MQTT's retain handling, `number` comes with each message that it selects.

        Raises:
            BrokerError: the server refused, or did not answer in time.
        """
        properties = properties_of(self._paho, "SUBSCRIBE", {"SubscriptionIdentifier": number} if number else {})
        options = self._paho.SubscribeOptions(qos=1, retainHandling=retained)
        _, mid = self._client.subscribe([(each, options) for each in filters], properties=properties)
        await self._answer(mid)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Returns when the server has acknowledged all.

        Raises:
            EventRefused: one is larger than the server takes.
            BrokerError: the server refused one, or for a while acknowledged none.
        """
        if self.failure is not None or not self._is_open:
            raise self.failure or self._unreachable("there is no connection")
        sending, outlet = self._outlet.put(messages), self._outlet
        while not sending.done.done():
            answered = outlet.answered
            await asyncio.wait([sending.done], timeout=self._settings.timeout)
            if answered == outlet.answered and not sending.done.done():
                self._end(self._silent())
        sending.done.result()

    def acknowledge(self, mids: Sequence[int]) -> None:
        """These messages are safe here and need not come again; said at once, as far as the connection takes it.

        Of who says so of a message that is just being handed over, it is said once that is done.
        """
        if self.failure is None and mids:
            for mid in mids:
                self._client.ack(mid, 1)
            self._write()

    async def flush(self) -> None:
        """Returns when the server has read all that it was told, as it answers in order: acknowledgements included.

        Raises:
            BrokerError: it did not answer in time.
        """
        _, mid = self._client.unsubscribe(self._settings.prefix + _NO_FILTER) if self._is_open else (0, None)
        await self._answer(mid)

    async def leave(self, *, forgets: bool = False) -> None:
        """Say goodbye, after all acknowledgements; the session stays as long as it was told to, or `forgets` all."""
        self._tells = False
        try:
            if self.failure is None and self._is_open:
                self._client.disconnect(properties=properties_of(self._paho, "DISCONNECT", _AT_ONCE if forgets else {}))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.timeout):
                        await self._ended.wait()
        finally:
            self.cut()

    def cut(self) -> None:
        """End the connection without a word, as when a process ends."""
        self._tells = False
        self._end(self._unreachable("the connection was closed here"))

    @property
    def _is_open(self) -> bool:
        return self._greeted.done() and not self._greeted.cancelled() and self._greeted.exception() is None

    async def _answer(self, mid: int | None) -> None:
        """Wait for what the server says to this."""
        if mid is None or self.failure:
            raise self.failure or self._unreachable("the connection was lost")
        answer = self._answering[mid] = self._loop.create_future()
        try:
            async with asyncio.timeout(self._settings.timeout):
                await answer
        except TimeoutError:
            raise self._silent() from None
        finally:
            self._answering.pop(mid, None)

    def _listen(self) -> None:
        client = self._client
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_subscribe = self._on_message, self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_publish = lambda client, data, mid, reason, properties: self._outlet.answer(mid, reason)

    def _attach(self) -> None:
        """From here on the client is the event loop's."""
        loop, client = self._loop, self._client
        socket: Any = client.socket()
        if socket is None or self.failure is not None:
            raise self.failure or self._unreachable("the connection was lost")
        socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # small packets do not wait
        client.on_socket_register_write = lambda _client, _data, each: loop.add_writer(each, self._write)
        client.on_socket_unregister_write = lambda _client, _data, each: _drop(loop.remove_writer(each))
        client.on_socket_close = lambda _client, _data, each: _drop(loop.remove_reader(each))
        loop.add_reader(socket, self._read)
        self._tick()

    def _read(self) -> None:
        """Read what has come, as long as there may be more: TLS may have taken it from the socket already."""
        for _ in range(_STRETCH):
            before = self._received, self._outlet.answered
            self._step(self._client.loop_read)
            socket: Any = self._client.socket()
            if self.failure is not None or socket is None:
                return
            is_more = self._settings.is_secret and socket.pending()
            if before == (self._received, self._outlet.answered) and not is_more:
                break
        self._outlet.pump()

    def _write(self) -> None:
        self._step(self._client.loop_write)

    def _tick(self) -> None:
        """Ask for a sign of life when it is time, and note when none came."""
        self._timer = self._loop.call_later(self._settings.session / 4, self._tick)
        self._step(self._client.loop_misc)

    def _step(self, step: Callable[[], object]) -> None:
        """Have paho do its part, and nothing else while it does.

        It holds a lock while it calls us. A write meanwhile that finds the connection lost, or says goodbye, would have
        it call us again, and wait for its own lock for ever. What is queued by then is written as soon as it is done.
        """
        if self._is_called:
            return
        self._is_called = True
        try:
            step()
        except Exception as error:  # what came is not MQTT
            self._end(self._unreachable(f"{type(error).__name__}: {error}"))
        finally:
            self._is_called = False

    def _on_connect(self, client: "Client", data: object, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._end(self._unreachable(f"the server lets nobody in: {reason}"))
            return
        self._outlet.window = min(getattr(properties, "ReceiveMaximum", WINDOW), WINDOW)
        self._outlet.largest = getattr(properties, "MaximumPacketSize", LARGEST)
        if not self._greeted.done():
            self._greeted.set_result(flags.session_present)

    def _on_message(self, client: "Client", data: object, message: "MQTTMessage") -> None:
        self._received += 1
        self._heard(message)

    def _on_subscribe(self, client: "Client", data: object, mid: int, reasons: Sequence[Any], properties: Any) -> None:
        answer = self._answering.get(mid)
        refused = [str(each) for each in reasons if each.value > _GRANTED]
        if answer is not None and not answer.done():
            if refused:
                answer.set_exception(BrokerError(f"{self._settings.url} refused a subscription: {refused[0]}"))
            else:
                answer.set_result(None)

    def _on_unsubscribe(
        self, client: "Client", data: object, mid: int, reasons: Sequence[Any], properties: Any
    ) -> None:
        self._on_subscribe(client, data, mid, (), properties)  # that there was nothing is no refusal

    def _on_disconnect(self, client: "Client", data: object, flags: Any, reason: Any, properties: Any) -> None:
        self.is_taken_over = self.failure is None and reason.value == _TAKEN_OVER
        self._end(self._unreachable(f"the connection was lost ({reason})"))

    def _end(self, failure: BrokerUnreachable) -> None:
        """Let go of everything; who waits for an answer is told."""
        if self.failure is not None:
            return
        self.failure = failure
        tells = self._tells and self._is_open
        if self._timer is not None:
            self._timer.cancel()
        futures: list[asyncio.Future[Any]] = [self._greeted, *self._answering.values()]
        for future in futures:
            if not future.done():
                future.set_exception(failure)
                future.exception()  # whoever waited may be gone
        self._outlet.fail(failure)
        self._close_socket()
        self._ended.set()
        if tells:
            self._lost(failure)

    def _close_socket(self) -> None:
        client, socket = self._client, self._client.socket()
        client.on_socket_close = client.on_socket_register_write = client.on_socket_unregister_write = None
        if socket is not None and socket.fileno() >= 0:
            self._loop.remove_reader(socket)
            self._loop.remove_writer(socket)
            socket.close()

    def _hang_up(self, dialing: "asyncio.Future[None]") -> None:
        """A connection that came about too late, or to no good."""
        if not dialing.cancelled():
            dialing.exception()
        self.cut()
        self._close_socket()

    def _silent(self) -> BrokerUnreachable:
        return self._unreachable(f"no answer within {self._settings.timeout:g} s")

    def _unreachable(self, reason: str) -> BrokerUnreachable:
        return BrokerUnreachable(self._settings.url, reason)


def _drop(_answer: object) -> None:
    """paho's hooks return nothing."""
