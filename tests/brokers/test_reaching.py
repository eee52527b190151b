"""What a user reads when a server cannot be reached, or the URL says what its carrier does not take."""

import socket
import ssl
from collections.abc import Iterator
from errno import ECONNREFUSED, ECONNRESET
from pathlib import Path

import pytest

from tests.servers.kafka import KafkaServer
from tests.servers.redis import RedisServer
from tidings.address import address_of
from tidings.brokers import Wanted, connect
from tidings.brokers.reaching import obstacle, why
from tidings.errors import BrokerUnreachable, ConfigurationError
from tidings.testing.broker_conformance.words import new_event

SCHEMES = ("amqp", "kafka", "mqtt", "nats", "pulsar", "redis", "redis+pubsub")
SECURE = ("amqps", "kafka+ssl", "mqtts", "nats+tls", "rediss", "rediss+pubsub")
ADDRESS = address_of("redis://host:7000", port=1)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def setting_up(url: str, *, apply: bool = False) -> None:
    broker = await connect(url)
    try:
        await broker.setup(Wanted(("order",), (("shop", ("order:*",)),)), apply=apply)
    finally:
        await broker.close()


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_where_nobody_listens_it_is_said_with_the_url_and_what_to_do(
    scheme: str, silent_port: int, *, apply: bool
) -> None:
    url = f"{scheme}://ann:secret@127.0.0.1:{silent_port}?timeout=1"

    with pytest.raises(BrokerUnreachable) as raised:
        await setting_up(url.replace("ann:secret@", "") if scheme == "kafka" else url, apply=apply)

    told = str(raised.value)
    assert f"127.0.0.1:{silent_port}" in told
    assert "nobody listens" in told or "Connection refused" in told
    assert "see that its server runs" in told
    assert "Errno" not in told
    assert "secret" not in told


@pytest.mark.parametrize("scheme", SECURE)
async def test_a_file_that_is_not_there_is_named_with_its_setting(
    scheme: str, silent_port: int, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"ca='.+/nowhere\.pem' cannot be read: No such file"):
        await setting_up(f"{scheme}://127.0.0.1:{silent_port}?ca={tmp_path}/nowhere.pem&timeout=1")


@pytest.mark.parametrize("setting", ["compression=nonsense", "partitioner=nonsense"])
async def test_what_kafkas_client_does_not_take_is_told_with_the_url(setting: str, kafka_server: KafkaServer) -> None:
    broker = await connect(f"{kafka_server.url}?{setting}")

    with pytest.raises(ConfigurationError, match="nonsense"):
        await broker.publish([new_event(0)])
    await broker.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the host 'host' is not known (Name or service not known)"),
        (OSError(ECONNREFUSED, "Connect call failed ('127.0.0.1', 7000)"), "nobody listens at port 7000"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"),
            "nobody listens at port 7000",
        ),
        (ConnectionResetError(ECONNRESET, "reset"), "Connection reset by peer"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "it does not speak TLS at port 7000"),
        (ValueError("odd"), "odd"),
        (OSError(), "OSError"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_the_systems_errors_are_told_in_words(error: Exception, told: str) -> None:
    assert why(error, ADDRESS) == told


def test_a_certificate_that_is_not_trusted_names_the_setting() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"

    assert why(error, ADDRESS) == (
        "its certificate is not trusted (self-signed certificate); ca= names the file of its authority"
    )


async def test_a_server_that_is_there_is_no_obstacle(redis_server: RedisServer) -> None:
    assert await obstacle(address_of(redis_server.url, port=1)) is None


@pytest.mark.parametrize("url", ["redis://host?retain=7days", "nats://host?retain=7days"])
async def test_a_span_that_is_none_is_told_with_its_url(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"retain=7days: retain: '7days' is not an age"):
        await connect(url)
