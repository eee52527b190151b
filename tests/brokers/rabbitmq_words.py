"""The words of the tests on RabbitMQ: URLs of their own on a shared server, one that may be killed, another client."""

import asyncio
import contextlib
import functools
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable

import aiormq as aiormq  # also, as it reads a file when it is imported, so that no test's event loop is blocked by that

from tests.servers.fixtures import require
from tests.servers.rabbitmq import RabbitmqServer
from tests.servers.server import free_ports
from tidings.brokers import Arrival, Broker
from tidings.errors import TidingsError

LIMIT = 30.0  # seconds for what takes milliseconds on an idle machine


class MortalServer(RabbitmqServer):
    """One that tests kill, freeze and restart; it speaks TLS, too, with a certificate that vouches for itself."""

    def prepare(self) -> None:
        """Make the certificate."""
        super().prepare()
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {certificate} -subj /CN=test".split()
        command = ["openssl", *words, "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(command, check=True, capture_output=True)
        [self.tls_port] = free_ports(1)
        files = {"cacertfile": certificate, "certfile": certificate, "keyfile": key}
        self.settings |= {f"ssl_options.{name}": str(path) for name, path in files.items()}
        self.settings["listeners.ssl.1"] = f"127.0.0.1:{self.tls_port}"
        self.certificate = certificate


@functools.cache
def mortal_server() -> MortalServer:
    """One for the whole run, as it takes long to start; it ends with the process."""
    require(RabbitmqServer)
    return MortalServer().start()


def own_prefix() -> str:
    """What only this test's exchanges and queues begin with."""
    return f"{uuid.uuid4().hex[:8]}."


def url_of(server: RabbitmqServer, *, prefix: str | None = None, **settings: object) -> str:
    """A connection's URL, with these settings."""
    said = {"prefix": prefix or own_prefix(), "partitions": 2, "session": 2} | settings
    return f"{server.url}?{'&'.join(f'{name}={value}' for name, value in said.items())}"


@contextlib.asynccontextmanager
async def another_client(server: RabbitmqServer) -> AsyncIterator[aiormq.abc.AbstractChannel]:
    """A channel of the client library, as others use it."""
    async with aiormq.connect(server.url) as connection:
        yield await connection.channel()


@contextlib.asynccontextmanager
async def going_on(
    broker: Broker, seen: Callable[[list[Arrival]], None], *, group: str = "g", prefetch: int = 500
) -> AsyncIterator[list[TidingsError]]:
    """A reader that settles what comes and notes it; after a failure, of which it keeps a list, it subscribes again."""
    failures: list[TidingsError] = []

    async def read() -> None:
        while True:
            try:
                async with broker.subscribe(["**"], group=group, prefetch=prefetch) as inbox:
                    while True:
                        arrivals = await inbox.receive()
                        seen(arrivals)
                        await inbox.settle(arrivals)
            except TidingsError as error:
                failures.append(error)
                await asyncio.sleep(0.02)

    task = asyncio.ensure_future(read())
    try:
        yield failures
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until it is so."""
    try:
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110  # it is a server's doing
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not come about within {LIMIT:g} s") from None
