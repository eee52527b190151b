"""The beginning of a connection: who we are, proven by a password, a token or a key, over TLS where that is asked."""

import asyncio
import base64
import ssl
from asyncio import to_thread
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from tidings.brokers.nats.link import Link
from tidings.brokers.nats.settings import Settings
from tidings.brokers.reaching import encryption, why
from tidings.errors import BrokerUnreachable, ConfigurationError, MissingExtra


async def connected(settings: Settings) -> Link:
    """A new connection, over which may be asked.

    Raises:
        BrokerUnreachable: nobody answers, or the server lets us not in.
        ConfigurationError: a file that the URL names cannot be read.
        MissingExtra: the library that proves who we are is not installed.
    """
    loop, address = asyncio.get_running_loop(), settings.address
    link = Link(settings.shown, settings.timeout)
    try:
        async with asyncio.timeout(settings.timeout):
            context = await to_thread(encryption, address)
            credentials = await to_thread(_credentials, settings)
            await loop.create_connection(lambda: link, address.host, address.port)
            await link.greeted
            await _encrypt(link, context, settings)
            said = await to_thread(_introduction, link, settings, credentials)
            link.send(said + b"SUB %b.* 1\r\n" % link.inbox.encode())
            await link.flushed()
    except TimeoutError:
        link.lose("nobody answered in time")
        raise BrokerUnreachable(settings.shown, f"nobody answered within {settings.timeout:g} s") from None
    except OSError as error:  # ssl's are of these
        link.lose("no connection came about")
        raise BrokerUnreachable(settings.shown, why(error, address)) from error
    except BaseException:
        link.lose("no connection came about")
        raise
    link.begin_watching()
    return link


def _credentials(settings: Settings) -> tuple[str, str] | None:
    """The JWT, and the seed of its key."""
    if not settings.credentials:
        return None
    try:
        lines = Path(settings.credentials).read_text().splitlines()
        places = [number for number, line in enumerate(lines) if line.startswith("-----BEGIN")]
        jwt, seed = (lines[number + 1].strip() for number in places)
    except (OSError, ValueError, IndexError) as error:
        told = f"{settings.shown}: credentials={settings.credentials!r} is no file with a JWT and its key"
        raise ConfigurationError(told) from error
    return jwt, seed


async def _encrypt(link: Link, context: ssl.SSLContext, settings: Settings) -> None:
    required = bool(link.info.get("tls_required"))
    if settings.has_tls and not (required or link.info.get("tls_available")):
        raise BrokerUnreachable(settings.shown, "it does not speak TLS, which the URL asks for")
    if required or settings.has_tls:
        assert link.transport is not None
        name = settings.address.host
        loop = asyncio.get_running_loop()
        link.transport = await loop.start_tls(link.transport, link, context, server_hostname=name)


def _introduction(link: Link, settings: Settings, credentials: tuple[str, str] | None) -> bytes:
    address = settings.address
    said: dict[str, Any] = {"verbose": False, "pedantic": False, "lang": "python", "version": "1", "protocol": 1}
    said |= {"name": "tidings", "headers": True, "no_responders": True, "echo": True}
    token = address.settings.get("token") or (address.user if not address.password else "")
    if address.password:
        said |= {"user": address.user, "pass": address.password}
    elif token:
        said["auth_token"] = token
    if credentials is not None:
        jwt, seed = credentials
        said |= {"jwt": jwt, "sig": _signed(seed, str(link.info.get("nonce", "")))}
    return b"CONNECT %b\r\n" % msgspec.json.encode(said)


def _signed(seed: str, nonce: str) -> str:
    try:
        nkeys: Any = import_module("nkeys")
    except ImportError as error:
        raise MissingExtra("nats", "a credentials file of NATS") from error
    signature: bytes = nkeys.from_seed(seed.encode()).sign(nonce.encode())
    return base64.urlsafe_b64encode(signature).decode().rstrip("=")
