"""NATS with JetStream."""

from collections.abc import Sequence

from tests.servers.server import Server, found, talk


class NatsServer(Server):
    """A private NATS; JetStream acknowledges before it syncs: what it keeps survives `kill9`, not a power cut."""

    name = "nats"
    program = "nats-server"
    packages = ("nats-server",)
    brew = "nats-server"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """JetStream in the server's folder."""
        where = f"-a 127.0.0.1 -p {self.port} -js -sd {self.folder}/js"
        settings = [word for name, value in self.settings.items() for word in (f"--{name}", value)]
        return [found(self.program) or self.program, *where.split(), *settings]

    def answers(self) -> bool:
        """It greets with what it can do."""
        greeting = talk(self.port)
        return greeting.startswith(b"INFO") and b'"jetstream":true' in greeting
