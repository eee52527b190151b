"""How a server is reached: what vouches for it over TLS, and why it could not be, in words that say where to look."""

import asyncio
import contextlib
import os
import re
import socket
import ssl
from errno import ECONNREFUSED
from typing import Final

from tidings.address import Address
from tidings.errors import ConfigurationError

_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_TRY: Final = 1.0  # seconds for a connection that is only to show whether there is one


def encryption(address: Address) -> ssl.SSLContext:
    """TLS to a server whose URL may say `ca`, and `cert` with `key`; it reads files, so it blocks.

    Raises:
        ConfigurationError: one of these files cannot be read, or is something else.
    """
    said = address.settings
    try:
        context = ssl.create_default_context(cafile=said.get("ca") or None)
        if "cert" in said:
            context.load_cert_chain(said["cert"], said.get("key"))
    except OSError as error:  # ssl's are of these
        files = ", ".join(f"{name}={said[name]!r}" for name in ("ca", "cert", "key") if name in said)
        raise ConfigurationError(f"{address.shown}: {files} cannot be read: {error.strerror or error}") from None
    return context


def why(error: BaseException, address: Address) -> str:
    """Why the system could not connect to a server."""
    if isinstance(error, socket.gaierror):
        return f"the host {address.host!r} is not known ({error.strerror})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); ca= names the file of its authority"
    if isinstance(error, ssl.SSLError):
        is_plain = any(word in str(error) for word in _NOT_TLS)
        return f"it does not speak TLS at port {address.port}" if is_plain else f"TLS failed ({error.reason or error})"
    named = error.errno if isinstance(error, OSError) else None
    numbers = {named} if named else {int(each) for each in _NUMBER.findall(str(error))}  # several: each address's own
    if numbers == {ECONNREFUSED}:
        return f"nobody listens at port {address.port}"
    return ", ".join(os.strerror(each) for each in sorted(numbers)) or str(error) or type(error).__name__


async def obstacle(address: Address) -> str | None:
    """What is in the way of a connection, for clients that do not tell; None: nothing that shows at once."""
    try:
        async with asyncio.timeout(_TRY):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except TimeoutError:
        return f"nobody answers at port {address.port}"
    except OSError as error:
        return why(error, address)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None
