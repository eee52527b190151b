"""Pulsar with a door: who has a token, or a user and password, gets in by its URL, and nobody else."""

import hashlib
import hmac
import json
import subprocess
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator

import pytest

from tests.servers.fixtures import require
from tests.servers.pulsar import PulsarServer
from tests.servers.server import talk
from tidings.brokers import connect
from tidings.errors import BrokerError
from tidings.testing.broker_conformance.words import ids_of, new_events, take

SECRET = b"a key of thirty-two bytes, or more"
PLUGIN = "org.apache.pulsar"


def token(name: str, secret: bytes = SECRET) -> str:
    """What says, signed, that its bearer is of this name."""

    def text(content: bytes) -> str:
        return urlsafe_b64encode(content).decode().rstrip("=")

    said = ".".join(text(json.dumps(each).encode()) for each in ({"alg": "HS256"}, {"sub": name}))
    return f"{said}.{text(hmac.new(secret, said.encode(), hashlib.sha256).digest())}"


def password_file(user: str, password: str) -> str:
    command = ["openssl", "passwd", "-apr1", password]
    return f"{user}:{subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}"


class GuardedServer(PulsarServer):
    """One that lets nobody in without a token or a password."""

    def answers(self) -> bool:
        """As it says to who may ask."""
        lines = (
            "GET /admin/v2/brokers/health?topicVersion=V2 HTTP/1.0",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {token('admin')}",
        )
        return b" 200 " in talk(self.ports[1], say=("\r\n".join(lines) + "\r\n\r\n").encode()).split(b"\r\n", 1)[0]


@pytest.fixture(scope="module")
def server() -> Iterator[GuardedServer]:
    require(PulsarServer)
    broker = f"{PLUGIN}.broker.authentication.AuthenticationProvider"
    settings = {
        "authenticationEnabled": "true",
        "authorizationEnabled": "true",
        "authenticationProviders": f"{broker}Token,{broker}Basic",
        "tokenSecretKey": f"data:;base64,{b64encode(SECRET).decode()}",
        "basicAuthConf": f"data:;base64,{b64encode(password_file('ann', 'open sesame').encode()).decode()}",
        "superUserRoles": "admin,ann",
        "brokerClientAuthenticationPlugin": f"{PLUGIN}.client.impl.auth.AuthenticationToken",
        "brokerClientAuthenticationParameters": f"token:{token('admin')}",
    }
    with GuardedServer(**settings) as running:
        yield running


def url_of(server: GuardedServer, login: str = "", **said: str) -> str:
    settings = {"prefix": "logins-", "timeout": "10", "admin": server.admin_url} | said
    return f"pulsar://{login}127.0.0.1:{server.port}?{'&'.join(f'{name}={value}' for name, value in settings.items())}"


@pytest.mark.parametrize("by", ["token", "password"])
async def test_who_is_known_gets_in(server: GuardedServer, by: str) -> None:
    given = {"token": token("admin")} if by == "token" else {}
    broker = await connect(url_of(server, "" if given else "ann:open%20sesame@", **given))
    events = new_events(0, 3)

    async with broker.subscribe(["**"], group=f"by-{by}") as inbox:
        await broker.publish(events)
        await take(inbox, ids_of(events))
    assert f"by-{by}" in [each.group for each in await broker.groups()], "its administration knows them, too"
    await broker.close()


@pytest.mark.parametrize("by", ["nothing", "forged token", "wrong password"])
async def test_who_is_not_known_is_told_so_without_a_secret(server: GuardedServer, by: str) -> None:
    given = {"token": token("admin", b"somebody else's key of thirty-two bytes")} if by == "forged token" else {}
    broker = await connect(url_of(server, "ann:guessed@" if by == "wrong password" else "", timeout="2", **given))

    for use in (broker.publish(new_events(0, 1)), broker.groups()):
        with pytest.raises(BrokerError, match="refused login") as refused:
            await use
        assert "guessed" not in str(refused.value)
        assert given.get("token", "no token") not in str(refused.value)
    await broker.close()
