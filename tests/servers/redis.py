"""Redis, with every write on disk before it is acknowledged."""

from collections.abc import Sequence

from tests.servers.server import Server, found, talk


class RedisServer(Server):
    """A private Redis."""

    name = "redis"
    program = "redis-server"
    packages = ("redis-server",)
    brew = "redis"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """An append-only file, synced always, and no snapshots."""
        where = f"--bind 127.0.0.1 --port {self.port} --dir {self.folder}"
        kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        settings = [word for name, value in self.settings.items() for word in (f"--{name}", value)]
        return [found(self.program) or self.program, *where.split(), *kept, "--daemonize", "no", *settings]

    def answers(self) -> bool:
        """While it reads its file, it says -LOADING."""
        return talk(self.port, say=b"PING\r\n").startswith(b"+PONG")
