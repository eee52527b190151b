"""Mosquitto, the MQTT broker, which writes its state down at every change."""

import os
from collections.abc import Sequence

from tests.servers.server import Server, found, talk

_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"  # 3.1.1, a clean session, no name
_CONNECTED = b"\x20\x02\x00\x00"


class MosquittoServer(Server):
    """A private Mosquitto."""

    name = "mqtt"
    program = "mosquitto"
    packages = ("mosquitto",)
    brew = "mosquitto"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """A file of configuration is the only way to tell it all this."""
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
            *(["user root"] if os.geteuid() == 0 else []),  # else it becomes somebody who may not write here
            *(f"{name} {value}" for name, value in self.settings.items()),
        ]
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n")
        return [found(self.program) or self.program, "-c", str(configuration)]

    def answers(self) -> bool:
        """It accepts a session."""
        return talk(self.port, say=_CONNECT) == _CONNECTED
