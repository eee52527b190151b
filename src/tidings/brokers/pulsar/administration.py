"""Pulsar's administration, by HTTP: which topics and subscriptions there are, how they stand, what is kept."""

import asyncio
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from tidings.address import redacted
from tidings.brokers.pulsar.settings import Settings
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError

_MISSING: Final = 404


class Administration:
    """Asks and tells a server at `?admin=`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base = settings.admin.rstrip("/") + "/admin/v2/"

    async def topics(self) -> list[str]:
        """The topics of the namespace, by name; each partition by itself."""
        return sorted(await self._ask("GET", f"persistent/{self._settings.namespace}", doing="asking for topics"))

    async def subscriptions(self, topic: str) -> Mapping[str, Any]:
        """A topic's subscriptions by name, with their backlogs and consumers; none when it is gone."""
        name = quote(topic.rpartition("/")[2], safe="")
        path = f"persistent/{self._settings.namespace}/{name}/stats?getPreciseBacklog=true"
        found = await self._ask("GET", path, doing="asking how groups are")
        return found.get("subscriptions", {}) if found else {}

    async def make(self, topic: str) -> None:
        """Make a topic; it is no failure that somebody else was quicker."""
        name = quote(topic.rpartition("/")[2], safe="")
        await self._ask("PUT", f"persistent/{self._settings.namespace}/{name}", doing="making a topic", fine=(409,))

    async def retention(self) -> float:
        """Seconds for which the namespace keeps what all have; below 0: for ever."""
        found = await self._ask("GET", f"namespaces/{self._settings.namespace}/retention", doing="asking for retention")
        minutes = found.get("retentionTimeInMinutes", 0) if found else 0
        size = found.get("retentionSizeInMB", 0) if found else 0
        return 0.0 if size == 0 else float(minutes) * 60

    async def retain(self, seconds: float) -> None:
        """Have it kept so long, however large it grows."""
        minutes = -1 if seconds < 0 else max(round(seconds / 60), 1)
        said = {"retentionTimeInMinutes": minutes, "retentionSizeInMB": -1}
        await self._ask("POST", f"namespaces/{self._settings.namespace}/retention", said, doing="setting retention")

    async def _ask(self, method: str, path: str, said: Any = None, *, doing: str, fine: tuple[int, ...] = ()) -> Any:
        if not self._settings.admin:
            told = "say admin=http://host:8080 in it, where Pulsar is administered"
            raise ConfigurationError(f"{self._settings.url} does not tell how topics and groups stand: {told}")
        request = urllib.request.Request(self._base + path, method=method, headers=self._headers())
        if said is not None:
            request.data = msgspec.json.encode(said)
        try:
            return await asyncio.to_thread(self._answer, request, (*fine, _MISSING) if method == "GET" else fine)
        except urllib.error.HTTPError as error:
            raise BrokerError(
                f"{redacted(self._settings.admin)} refused {doing}: {error.code} {error.reason}"
            ) from None
        except (OSError, msgspec.DecodeError) as error:
            raise BrokerUnreachable(redacted(self._settings.admin), f"{type(error).__name__} {doing}") from None

    def _answer(self, request: urllib.request.Request, fine: tuple[int, ...]) -> Any:
        """Blocks."""
        try:
            with urllib.request.urlopen(request, timeout=self._settings.timeout, context=self._context()) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            if error.code not in fine:
                raise
            error.close()
            return None
        return msgspec.json.decode(data) if data else None

    def _headers(self) -> dict[str, str]:
        settings, headers = self._settings, {"Content-Type": "application/json"}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        elif settings.address.user:
            said = f"{settings.address.user}:{settings.address.password}".encode()
            headers["Authorization"] = f"Basic {b64encode(said).decode()}"
        return headers

    def _context(self) -> ssl.SSLContext | None:
        if not self._settings.admin.startswith("https:"):
            return None
        return ssl.create_default_context(cafile=self._settings.address.settings.get("ca"))
